// A small HTTP server on the test's own loop: answers each request as the test's function says.
#pragma once

#include <functional>
#include <memory>
#include <string>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "common/async.hpp"
#include "common/url.hpp"

namespace cppworker {

class HttpStub {
 public:
  struct Request {
    std::string method, target, content_type, body;
  };
  struct Answer {
    int status = 200;
    std::string body = "{}";
    std::string content_type = "application/json";
    bool never = false;                  // keeps the connection open without a word
    bool hang_up = false;                // closes it without one
    std::chrono::milliseconds delay{0};  // before the answer
    std::chrono::milliseconds pause{0};  // between its head and its body, as a stream has it
  };
  using Handler = std::function<Answer(const Request&)>;

  HttpStub(asio::io_context& io, Handler handler) : state_(std::make_shared<State>(io, std::move(handler))) {
    asio::co_spawn(io, listen(state_), asio::detached);
  }
  ~HttpStub() { state_->acceptor.close(); }

  Url url() const {
    Url made;
    made.host = "127.0.0.1";
    made.port = state_->acceptor.local_endpoint().port();
    return made;
  }
  int requests() const { return state_->requests; }
  int most_at_once() const { return state_->most_at_once; }
  // Clients that have got their answer and are gone.
  int served() const { return state_->served; }

 private:
  struct State {
    State(asio::io_context& io, Handler made)
        : acceptor(io, {asio::ip::address_v4::loopback(), 0}), handler(std::move(made)) {}
    asio::ip::tcp::acceptor acceptor;
    Handler handler;
    int requests = 0, at_once = 0, most_at_once = 0, served = 0;
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
    namespace http = boost::beast::http;
    boost::beast::flat_buffer buffer;
    http::request<http::string_body> request;
    auto [ec, read] = co_await http::async_read(socket, buffer, request, kTuple);
    if (ec) co_return;
    ++state->requests;
    state->most_at_once = std::max(state->most_at_once, ++state->at_once);
    const Answer answer = state->handler({std::string(request.method_string()), std::string(request.target()),
                                          std::string(request[http::field::content_type]), request.body()});
    char byte;
    if (answer.hang_up) {
      --state->at_once;
      co_return;
    }
    if (answer.never) {
      co_await socket.async_read_some(asio::buffer(&byte, 1), kTuple);
      co_return;
    }
    if (answer.delay.count() > 0) co_await sleep_for(answer.delay);
    http::response<http::string_body> response(static_cast<http::status>(answer.status), 11);
    response.set(http::field::content_type, answer.content_type);
    response.keep_alive(false);
    response.body() = answer.body;
    response.prepare_payload();
    http::response_serializer<http::string_body> serializer(response);
    if (answer.pause.count() > 0) {
      co_await http::async_write_header(socket, serializer, kTuple);
      co_await sleep_for(answer.pause);
    }
    --state->at_once;
    co_await http::async_write(socket, serializer, kTuple);
    co_await socket.async_read_some(asio::buffer(&byte, 1), kTuple);
    ++state->served;
  }

  std::shared_ptr<State> state_;
};

}  // namespace cppworker
