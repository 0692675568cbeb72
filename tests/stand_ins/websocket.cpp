#include "tests/stand_ins/websocket.hpp"

#include <deque>
#include <boost/beast/core/buffers_to_string.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>
#include <boost/beast/websocket.hpp>

namespace cppworker::stand_ins {
namespace {

namespace beast = boost::beast;
namespace http = beast::http;
using asio::ip::tcp;

http::request<http::empty_body> handshake_of(const Request& request) {
  http::request<http::empty_body> message;
  message.method_string(request.method);
  message.target(request.target);
  message.version(request.version);
  for (const auto& [name, value] : request.headers) message.insert(name, value);
  return message;
}

class BeastWebSocket : public WebSocket {
 public:
  explicit BeastWebSocket(Exchange& exchange)
      : exchange_(exchange),
        stream_(exchange.socket()),
        arrived_(exchange.socket().get_executor()),
        left_(exchange.socket().get_executor()) {
    arrived_.expires_at(asio::steady_timer::time_point::max());
    left_.expires_at(asio::steady_timer::time_point::max());
  }

  // A client sends nothing before it has the answer: no bytes are lost between the two readers.
  Awaitable<bool> accept() {
    std::string offered;
    if (const std::string* header = exchange_.request.header("sec-websocket-protocol")) offered = *header;
    const std::string protocol = offered.substr(0, offered.find(','));
    stream_.set_option(beast::websocket::stream_base::decorator([protocol](auto& response) {
      if (!protocol.empty()) response.set(http::field::sec_websocket_protocol, protocol);
    }));
    const auto request = handshake_of(exchange_.request);
    auto [error] = co_await stream_.async_accept(request, kTuple);
    co_return !error;
  }

  // Until the client leaves or the connection ends. All frames pass here, so that none waits for talk().
  Awaitable<> read_all() {
    for (;;) {
      beast::flat_buffer buffer;
      auto [error, size] = co_await stream_.async_read(buffer, kTuple);
      if (error) break;
      messages_.push_back(beast::buffers_to_string(buffer.data()));
      arrived_.cancel();
    }
    left_.expires_after(std::chrono::seconds(0));
    arrived_.cancel();
  }

  Awaitable<> talk(const Talk& talk) {
    exchange_.wait_instead = [this](asio::steady_timer& timer) { return wait(timer); };
    co_await talk(*this);
    exchange_.wait_instead = nullptr;
    if (exchange_.outcome == "open") exchange_.outcome = "gone";
    co_await close(beast::websocket::close_code::normal);
  }

  Awaitable<std::optional<std::string>> message() override {
    while (messages_.empty()) {
      const bool stays = co_await wait(arrived_);
      if (!stays && messages_.empty()) co_return std::nullopt;
    }
    std::optional<std::string> text = std::move(messages_.front());
    messages_.pop_front();
    co_return text;
  }

  Awaitable<bool> send(const std::string& text) override {
    stream_.text(true);
    auto [error, sent] = co_await stream_.async_write(asio::buffer(text), kTuple);
    co_return !error;
  }

  Awaitable<> close(std::uint16_t code) override {
    if (!stream_.is_open()) co_return;
    const beast::websocket::close_reason reason(code);
    co_await stream_.async_close(reason, kTuple);
  }

 private:
  // False when the client left first.
  Awaitable<bool> wait(asio::steady_timer& timer) {
    using namespace asio::experimental::awaitable_operators;
    auto first = co_await (timer.async_wait(kTuple) || left_.async_wait(kTuple));
    co_return first.index() == 0;
  }

  Exchange& exchange_;
  beast::websocket::stream<tcp::socket&> stream_;
  std::deque<std::string> messages_;
  asio::steady_timer arrived_;  // cancelled when a message came
  asio::steady_timer left_;     // expired once the client left
};

}  // namespace

Awaitable<> talk_websocket(Exchange& exchange, const Talk& talk) {
  using namespace asio::experimental::awaitable_operators;
  exchange.close_after();
  BeastWebSocket socket(exchange);
  const bool accepted = co_await socket.accept();
  if (!accepted) {
    exchange.outcome = "broken";
    co_return;
  }
  co_await (socket.read_all() && socket.talk(talk));
}

}  // namespace cppworker::stand_ins
