#include "proxy/control_client.hpp"

#include <sys/socket.h>

#include <boost/asio/read_until.hpp>

#include "common/logging.hpp"

namespace cppworker {

ControlClient::ControlClient(asio::any_io_executor executor, int fd)
    : socket_(std::move(executor), asio::local::stream_protocol(), fd) {}

Awaitable<> ControlClient::run(std::function<void(const WorkerState&)> on_state,
                               std::function<void()> on_look) {
  std::string received;
  while (true) {
    auto [error, size] = co_await asio::async_read_until(
        socket_, asio::dynamic_buffer(received, kLongestControlMessage), '\n', kTuple);
    if (error) co_return;
    if (std::string_view(received).substr(0, size) == kLookMessage) {
      received.erase(0, size);
      if (on_look) on_look();
      continue;
    }
    auto state = decode_state(std::string_view(received).substr(0, size));
    received.erase(0, size);
    if (state)
      on_state(*state);
    else
      spdlog::error("{}", state.error().message);
  }
}

void ControlClient::send(ProxyNotice notice) {
  // One send is one line: at this size a stream socket takes all of it or nothing. A closed end is noticed by
  // run.
  std::string line = encode(notice);
  // A supervisor that is stopped for hours must not stop the proxy, too.
  const bool often = notice == ProxyNotice::kAlive || notice == ProxyNotice::kTellOthers;
  const int flags = MSG_NOSIGNAL | (often ? MSG_DONTWAIT : 0);
  ssize_t ignored = ::send(socket_.native_handle(), line.data(), line.size(), flags);
  static_cast<void>(ignored);
}

}  // namespace cppworker
