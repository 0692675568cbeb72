#include "proxy/connection.hpp"

#include <sys/socket.h>

#include <boost/asio/write.hpp>

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

// What a client may send ahead (pipelining) while its request is being served; past that it is left in the
// kernel's buffer.
constexpr std::size_t kMostReadAhead = 64 * 1024;

// How long, and for how much, a refused client may go on sending before its connection is closed under it.
constexpr std::chrono::seconds kLongestLinger{2};
constexpr std::size_t kMostDiscarded = 1 << 20;

Refusal silence() {
  return Refusal{};
}

Refusal refuse_and_close(int status, std::string_view text) {
  Refusal refusal = refuse(status, text);
  refusal.close = true;
  return refusal;
}

// A parser's error as an answer. Everything that isn't said apart is a malformed request.
Refusal explain(const error_code& error) {
  if (error == http::error::end_of_stream || error == http::error::partial_message) return silence();
  if (error.category() != make_error_code(http::error::bad_method).category()) return silence();
  if (error == http::error::header_limit)
    return refuse_and_close(431, "proxy: the request's headers are too large");
  if (error == http::error::body_limit)
    return refuse_and_close(413, "proxy: the request's body is too large");
  return refuse_and_close(400, "proxy: malformed HTTP request");
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, const ConnectionLimits& limits, DeadlineTicker& ticker)
    : socket_(std::move(socket)), limits_(limits), active_(*this) {
  ticker.watch(*this);
}

Awaitable<std::optional<Refusal>> Connection::read_head() {
  parser_.emplace();
  parser_->header_limit(limits_.head_bytes);
  parser_->body_limit(boost::none);
  if (buffer_.size() == 0) {
    set_deadline(limits_.idle);
    auto [error] = co_await socket_.async_wait(asio::ip::tcp::socket::wait_read, kTuple);
    if (error) co_return silence();
  }
  reading_ = Reading::kHead;
  set_deadline(limits_.head);
  auto [error, read] = co_await http::async_read_header(socket_, buffer_, *parser_, kTuple);
  clear_deadline();
  reading_ = Reading::kNothing;
  if (timed_out_) co_return refuse_and_close(408, "proxy: the request's head took too long to arrive");
  if (error) co_return explain(error);
  co_return std::nullopt;
}

bool Connection::has_body() const {
  return parser_->chunked() || (parser_->content_length() && *parser_->content_length() > 0);
}

Awaitable<std::optional<Refusal>> Connection::read_body(std::uint64_t limit) {
  if (parser_->is_done()) co_return std::nullopt;
  // Said before the body is asked for: a client that waits for 100-continue needn't send it in vain.
  if (parser_->content_length() && *parser_->content_length() > limit)
    co_return refuse_and_close(413, "proxy: the request's body is too large");
  parser_->body_limit(limit);
  if (boost::beast::iequals(head()[http::field::expect], "100-continue") && buffer_.size() == 0) {
    bool asked = co_await write("HTTP/1.1 100 Continue\r\n\r\n");
    if (!asked) co_return silence();
  }
  reading_ = Reading::kBody;
  set_deadline(limits_.body);
  auto [error, read] = co_await http::async_read(socket_, buffer_, *parser_, kTuple);
  clear_deadline();
  reading_ = Reading::kNothing;
  if (timed_out_) co_return refuse_and_close(408, "proxy: the request's body took too long to arrive");
  if (error) co_return explain(error);
  co_return std::nullopt;
}

void Connection::watch_client() {
  watching_ = true;
  // The generation tells a wait that was cancelled from the one of a later request.
  socket_.async_wait(asio::ip::tcp::socket::wait_read,
                     [self = shared_from_this(), generation = ++watch_generation_](const error_code& error) {
                       if (!self->watching_ || generation != self->watch_generation_) return;
                       if (error) return;
                       self->on_readable();
                     });
}

void Connection::on_readable() {
  char byte;
  ssize_t n = ::recv(socket_.native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return watch_client();
  if (n <= 0) {
    watching_ = false;
    active_.abort(AbortCause::kClientGone);
    return;
  }
  // The next request, sent ahead. It is taken in, so that the end behind it can be seen.
  if (buffer_.size() >= kMostReadAhead) return;
  error_code error;
  std::size_t read = socket_.read_some(buffer_.prepare(kMostReadAhead - buffer_.size()), error);
  buffer_.commit(read);
  if (!error) watch_client();
}

void Connection::stop_watching() {
  if (!watching_) return;
  watching_ = false;
  error_code ignored;
  socket_.cancel(ignored);
}

Awaitable<bool> Connection::write(std::string_view text) {
  auto [error, written] = co_await asio::async_write(socket_, asio::buffer(text.data(), text.size()), kTuple);
  co_return !error;
}

void Connection::finish_request() {
  active_.reset();
  parser_.reset();
  if (buffer_.size() == 0) buffer_.shrink_to_fit();
}

void Connection::on_deadline() {
  error_code ignored;
  if (reading_ != Reading::kNothing) {
    // The read ends; the coroutine answers 408 and closes.
    timed_out_ = true;
    socket_.cancel(ignored);
  } else if (parser_ && parser_->is_header_done()) {
    active_.abort(AbortCause::kTimedOut);
    // A client that doesn't read keeps a write pending that only this ends.
    socket_.cancel(ignored);
  } else {
    close();  // idle for too long
  }
}

Awaitable<> Connection::close_lingering() {
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_send, ignored);
  reading_ = Reading::kBody;
  set_deadline(kLongestLinger);
  char discarded[4096];
  for (std::size_t total = 0; total < kMostDiscarded && !timed_out_;) {
    auto [error, read] = co_await socket_.async_read_some(asio::buffer(discarded), kTuple);
    if (error) break;
    total += read;
  }
  close();
}

void Connection::close_broken() {
  error_code ignored;
  socket_.set_option(asio::socket_base::linger(true, 0), ignored);
  socket_.close(ignored);
}

void Connection::close() {
  error_code ignored;
  socket_.shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  socket_.close(ignored);
}

}  // namespace cppworker
