#include "proxy/control_client.hpp"

#include <sys/socket.h>

#include <boost/asio/read_until.hpp>

#include "common/logging.hpp"

namespace cppworker {

ControlClient::ControlClient(asio::any_io_executor executor, int fd)
    : socket_(std::move(executor), asio::local::stream_protocol(), fd) {}

Awaitable<> ControlClient::run(std::function<void(const WorkerState&)> on_state) {
  std::string received;
  while (true) {
    auto [error, size] = co_await asio::async_read_until(
        socket_, asio::dynamic_buffer(received, kLongestControlMessage), '\n', kTuple);
    if (error) co_return;
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
  ssize_t ignored = ::send(socket_.native_handle(), line.data(), line.size(), MSG_NOSIGNAL);
  static_cast<void>(ignored);
}

}  // namespace cppworker
