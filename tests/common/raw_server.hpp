// A server that says the bytes it is told, right or wrong, to everyone who sends a request: what no HTTP
// library would send.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <utility>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "common/async.hpp"
#include "common/url.hpp"

namespace cppworker {

class RawServer {
 public:
  enum class Then { kClose, kHold };  // kHold: not another word, until the client has gone

  RawServer(asio::io_context& io, std::string answer, Then then = Then::kClose)
      : state_(std::make_shared<State>(io, std::move(answer), then)) {
    asio::co_spawn(io, listen(state_), asio::detached);
  }
  ~RawServer() { state_->acceptor.close(); }

  Url url() const {
    Url made;
    made.host = "127.0.0.1";
    made.port = state_->acceptor.local_endpoint().port();
    return made;
  }
  // What clients sent. With a body, the last piece may still be on its way.
  const std::string& received() const { return state_->received; }
  bool client_left() const { return state_->client_left; }

 private:
  struct State {
    State(asio::io_context& io, std::string made, Then what)
        : acceptor(io, {asio::ip::address_v4::loopback(), 0}), answer(std::move(made)), then(what) {}
    asio::ip::tcp::acceptor acceptor;
    std::string answer, received;
    Then then;
    bool client_left = false;
  };

  static Awaitable<> listen(std::shared_ptr<State> state) {
    const auto executor = state->acceptor.get_executor();
    while (true) {
      auto [ec, socket] = co_await state->acceptor.async_accept(kTuple);
      if (ec) co_return;
      asio::co_spawn(executor, serve(std::move(socket), state), asio::detached);
    }
  }

  static Awaitable<> serve(asio::ip::tcp::socket socket, std::shared_ptr<State> state) {
    auto [ec, head] =
        co_await asio::async_read_until(socket, asio::dynamic_buffer(state->received), "\r\n\r\n", kTuple);
    if (ec) co_return;
    co_await asio::async_write(socket, asio::buffer(state->answer), kTuple);
    if (state->then == Then::kClose) {
      boost::system::error_code ignored;
      socket.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
    }
    // Also before closing: bytes that nobody has read would turn the close into a reset.
    while (true) {
      char rest[4096];
      auto [end, size] = co_await socket.async_read_some(asio::buffer(rest), kTuple);
      if (end) break;
      state->received.append(rest, size);
    }
    state->client_left = true;
  }

  std::shared_ptr<State> state_;
};

}  // namespace cppworker
