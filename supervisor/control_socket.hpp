// The supervisor's end of the socket pair to one proxy: sends the worker's state, takes the proxy's notices.
//
// Threads: the supervisor's loop. Never blocks: a proxy that doesn't read gets the newest state when it reads
// again, and the states in between not at all.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <boost/asio/local/stream_protocol.hpp>

#include "common/async.hpp"
#include "common/unique_fd.hpp"
#include "common/worker_state.hpp"

namespace cppworker {

class ControlSocket : public std::enable_shared_from_this<ControlSocket> {
 public:
  struct Pair {
    std::shared_ptr<ControlSocket> ours;
    UniqueFd theirs;  // for the proxy; close it when that is launched
  };
  static Result<Pair> make_pair(asio::any_io_executor executor, std::function<void(ProxyNotice)> on_notice);

  void send(const WorkerState& state);
  void send_look();  // kLookMessage, once for all that weren't sent yet
  void close();
  // The proxy has said something that no handler has read yet.
  bool has_unread() const;

 private:
  ControlSocket(asio::any_io_executor executor, std::function<void(ProxyNotice)> on_notice)
      : socket_(std::move(executor)), on_notice_(std::move(on_notice)) {}
  void read();
  void write();

  asio::local::stream_protocol::socket socket_;
  std::function<void(ProxyNotice)> on_notice_;
  std::string received_, sending_, next_;
  bool look_ = false;  // to be said behind next_
};

}  // namespace cppworker
