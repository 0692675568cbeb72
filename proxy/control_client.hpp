// The proxy's end of the socket pair to the supervisor: takes the worker's state, sends notices. Its end is
// the proxy's end, too: without a supervisor nobody would report the load or restart anything.
//
// Threads: that of its executor; send() from any.
#pragma once

#include <functional>
#include <string>
#include <boost/asio/local/stream_protocol.hpp>

#include "common/async.hpp"
#include "common/worker_state.hpp"

namespace cppworker {

class ControlClient {
 public:
  // `fd` is a connected stream socket, which becomes ours.
  ControlClient(asio::any_io_executor executor, int fd);

  // Hands each state over, and calls `on_look` with each kLookMessage; returns when the supervisor has closed
  // its end.
  Awaitable<> run(std::function<void(const WorkerState&)> on_state, std::function<void()> on_look = {});

  // Blocks for as long as the supervisor's buffer is full: most notices are few and short. Those that come
  // often are lost then, and others follow.
  void send(ProxyNotice notice);

 private:
  asio::local::stream_protocol::socket socket_;
};

}  // namespace cppworker
