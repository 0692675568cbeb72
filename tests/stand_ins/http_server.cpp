#include "tests/stand_ins/http_server.hpp"

#include <sys/socket.h>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

namespace cppworker::stand_ins {

namespace http = boost::beast::http;
using asio::ip::tcp;

namespace {

constexpr int kDrops = 20;
constexpr char kContinue[] = "HTTP/1.1 100 Continue\r\n\r\n";

std::string lower_case(std::string_view text) {
  std::string result(text);
  for (char& c : result) c = static_cast<char>(std::tolower(static_cast<unsigned char>(c)));
  return result;
}

Request take(http::request<http::string_body> message) {
  Request request;
  request.method = std::string(message.method_string());
  request.target = std::string(message.target());
  request.path = request.target.substr(0, request.target.find('?'));
  request.version = message.version();
  for (const auto& field : message) {
    request.headers.emplace_back(lower_case(field.name_string()), std::string(field.value()));
  }
  request.body = std::move(message.body());
  return request;
}

}  // namespace

const std::string* Request::header(std::string_view lower_case_name) const {
  for (const auto& [name, value] : headers) {
    if (name == lower_case_name) return &value;
  }
  return nullptr;
}

std::string Request::query(std::string_view name) const {
  const std::string query = "&" + (path.size() < target.size() ? target.substr(path.size() + 1) : "") + "&";
  const std::string key = "&" + std::string(name) + "=";
  const auto at = query.find(key);
  if (at == std::string::npos) return "";
  return query.substr(at + key.size(), query.find('&', at + key.size()) - at - key.size());
}

Awaitable<bool> Exchange::send_raw(const std::string& bytes) {
  if (drip.count() > 0) co_return co_await send_dripping(bytes);
  auto [ec, sent] = co_await asio::async_write(socket_, asio::buffer(bytes), kTuple);
  if (ec && outcome == "open") outcome = "gone";
  co_return !ec;
}

Awaitable<bool> Exchange::send_dripping(const std::string& bytes) {
  const auto whole = std::exchange(drip, std::chrono::milliseconds(0));
  const std::size_t step = bytes.size() / kDrops + 1;
  bool stays = true;
  for (std::size_t at = 0; stays && at < bytes.size(); at += step) {
    const std::string drop = bytes.substr(at, step);
    stays = co_await pause(whole / kDrops);
    if (stays) stays = co_await send_raw(drop);
  }
  drip = whole;
  co_return stays;
}

Awaitable<bool> Exchange::answer(int status, std::string_view content_type, const std::string& body,
                                 const Headers& more) {
  std::string text = "HTTP/1.1 " + std::to_string(status) + " ";
  text += std::string(http::obsolete_reason(http::int_to_status(static_cast<unsigned>(status)))) + "\r\n";
  for (const auto& [name, value] : own_headers) text += name + ": " + value + "\r\n";
  for (const auto& [name, value] : more) text += name + ": " + value + "\r\n";
  if (!content_type.empty()) text += "content-type: " + std::string(content_type) + "\r\n";
  if (!keep_alive) text += "connection: close\r\n";
  text += "content-length: " + std::to_string(body.size()) + "\r\n\r\n" + body;
  const bool sent = co_await send_raw(text);
  if (sent) outcome = "answered";
  co_return sent;
}

Awaitable<bool> Exchange::begin_stream(const Headers& headers) {
  std::string text = "HTTP/1.1 200 OK\r\n";
  for (const auto& [name, value] : own_headers) text += name + ": " + value + "\r\n";
  for (const auto& [name, value] : headers) text += name + ": " + value + "\r\n";
  text += "transfer-encoding: chunked\r\n\r\n";
  co_return co_await send_raw(text);
}

Awaitable<bool> Exchange::send_chunk(const std::string& bytes) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", bytes.size());
  const std::string chunk = size + bytes + "\r\n";
  co_return co_await send_raw(chunk);
}

Awaitable<bool> Exchange::end_stream() {
  const std::string last = "0\r\n\r\n";
  const bool sent = co_await send_raw(last);
  if (sent) outcome = "answered";
  co_return sent;
}

Awaitable<bool> Exchange::wait(asio::steady_timer& timer) {
  if (wait_instead) {
    const bool stays = co_await wait_instead(timer);
    if (!stays) outcome = "gone";
    co_return stays;
  }
  using namespace asio::experimental::awaitable_operators;
  auto first = co_await (timer.async_wait(kTuple) || socket_.async_wait(tcp::socket::wait_read, kTuple));
  if (first.index() == 0) co_return true;
  char next;
  if (::recv(socket_.native_handle(), &next, 1, MSG_PEEK | MSG_DONTWAIT) <= 0) {
    outcome = "gone";
    co_return false;
  }
  // The next request arrived already: this connection can't tell any more whether its client leaves.
  co_await timer.async_wait(kTuple);
  co_return true;
}

Awaitable<bool> Exchange::pause(std::chrono::nanoseconds duration) {
  asio::steady_timer timer(socket_.get_executor());
  timer.expires_after(duration);
  co_return co_await wait(timer);
}

void Exchange::break_off() {
  boost::system::error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
  outcome = "broken";
  keep_alive = false;
}

void Exchange::cut_off() {
  outcome = "broken";
  keep_alive = false;
}

boost::system::error_code HttpServer::open(const std::string& host, std::uint16_t port) {
  boost::system::error_code ec;
  const tcp::endpoint endpoint(asio::ip::make_address(host, ec), port);
  if (!ec) acceptor_.open(endpoint.protocol(), ec);
  if (!ec) acceptor_.set_option(asio::socket_base::reuse_address(true), ec);
  if (!ec) acceptor_.bind(endpoint, ec);
  if (!ec) acceptor_.listen(asio::socket_base::max_listen_connections, ec);
  if (!ec) asio::co_spawn(io_, accept(), end_on_bug);
  return ec;
}

Awaitable<> HttpServer::accept() {
  while (!draining_) {
    auto [ec, socket] = co_await acceptor_.async_accept(kTuple);
    if (ec || draining_) break;
    ++connections_;
    asio::co_spawn(io_, serve(std::move(socket)), [this](std::exception_ptr error) {
      end_on_bug(error);
      if (--connections_ == 0) drained_.cancel();
    });
  }
}

Awaitable<> HttpServer::serve(tcp::socket socket) {
  boost::system::error_code ignored;
  socket.set_option(tcp::no_delay(true), ignored);
  boost::beast::flat_buffer buffer;
  bool open = true;
  while (open && !draining_) {
    http::request_parser<http::string_body> parser;
    parser.body_limit(largest_body_);
    idle_.insert(&socket);
    auto [head_error, head_bytes] = co_await http::async_read_header(socket, buffer, parser, kTuple);
    idle_.erase(&socket);
    if (!head_error && parser.get()[http::field::expect] == "100-continue") {
      co_await asio::async_write(socket, asio::buffer(kContinue, sizeof kContinue - 1), kTuple);
    }
    boost::system::error_code ec = head_error;
    if (!ec) {
      auto [body_error, body_bytes] = co_await http::async_read(socket, buffer, parser, kTuple);
      ec = body_error;
    }
    if (ec == http::error::body_limit) {
      const std::string refusal = handler_.too_large();
      co_await asio::async_write(socket, asio::buffer(refusal), kTuple);
    }
    if (ec) break;
    const bool wants_more = parser.keep_alive();
    Exchange exchange(socket, take(parser.release()));
    exchange.keep_alive = wants_more;
    co_await handler_.serve(exchange);
    handler_.done(exchange);
    open = exchange.keep_alive && exchange.outcome == "answered";
  }
  socket.shutdown(tcp::socket::shutdown_send, ignored);
}

Awaitable<> HttpServer::drain(std::chrono::milliseconds limit) {
  draining_ = true;
  boost::system::error_code ignored;
  acceptor_.close(ignored);
  for (tcp::socket* socket : idle_) socket->close(ignored);
  if (connections_ == 0) co_return;
  drained_.expires_after(limit);
  co_await drained_.async_wait(kTuple);
}

}  // namespace cppworker::stand_ins
