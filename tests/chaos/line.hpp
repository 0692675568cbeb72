// The line from the worker to the autoscaler: passes bytes both ways, until it is told to fail.
//
// Threads: the callers' any; it works on one of its own. Connections that are open when it begins to fail go
// on, since none lasts longer than one call.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <thread>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "common/async.hpp"
#include "held_port.hpp"

namespace cppworker::chaos {

class Line {
 public:
  explicit Line(std::uint16_t autoscaler);
  ~Line();

  std::uint16_t port() const { return here_; }

  // Nobody listens here any more.
  void refuse();
  // Connections are taken, and nothing is answered: their number is counted from now on.
  void fall_silent();
  int unanswered() const { return unanswered_; }
  // As before; the connections that weren't answered are closed.
  void mend();

 private:
  using Socket = boost::asio::ip::tcp::socket;

  void listen();
  Awaitable<> accept();
  Awaitable<> connect(Socket worker);
  // Returns when it is done.
  void on_thread(std::function<void()> work);

  boost::asio::io_context io_{1};
  const boost::asio::ip::tcp::endpoint there_;
  const HeldPort here_;
  boost::asio::ip::tcp::acceptor acceptor_{io_};
  bool silent_ = false;
  std::atomic<int> unanswered_ = 0;
  std::list<Socket> waiting_;
  std::jthread thread_;
};

}  // namespace cppworker::chaos
