// The HTTP server under the stand-ins: one thread, one coroutine per connection, and a handler that may
// answer well, badly, late or not at all.
//
// Bodies are bounded; there are no timeouts, since the only clients are tests. The handler outlives the
// server's connections. Errors of a connection end that connection; what a handler throws ends the program.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>

#include "common/async.hpp"

namespace cppworker::stand_ins {

using Headers = std::vector<std::pair<std::string, std::string>>;

struct Request {
  std::string method, target, path;  // path: the target without its query
  unsigned version = 11;
  Headers headers;  // names in lower case, in the order they came
  std::string body;

  const std::string* header(std::string_view lower_case_name) const;
  std::string query(std::string_view name) const;  // undecoded; empty when missing
};

// A request and the ways to answer it. All return false when the client is gone.
class Exchange {
 public:
  Exchange(asio::ip::tcp::socket& socket, Request request) : request(std::move(request)), socket_(socket) {}

  const Request request;
  std::string outcome = "open";  // then "answered", "gone" (the client left first) or "broken" (we broke off)
  Headers own_headers;           // put into every answer's head
  bool keep_alive = true;
  std::chrono::milliseconds drip{0};  // what is sent at once otherwise takes so long, a few bytes at a time

  Awaitable<bool> answer(int status, std::string_view content_type, const std::string& body,
                         const Headers& more = {});
  Awaitable<bool> begin_stream(const Headers& headers);  // 200, chunked
  Awaitable<bool> send_chunk(const std::string& bytes);  // leaves at once
  Awaitable<bool> end_stream();
  Awaitable<bool> send_raw(const std::string& bytes);
  // Waits until the timer expires or is cancelled, or the client leaves.
  Awaitable<bool> wait(asio::steady_timer& timer);
  Awaitable<bool> pause(std::chrono::nanoseconds duration);
  // Ends the connection with a reset: the client sees an error instead of an end.
  void break_off();
  // Ends it in good order, with whatever was sent: nothing but its length tells that an answer isn't whole.
  void cut_off();
  void close_after() { keep_alive = false; }

  // For a connection that leaves HTTP: who takes it over, and then what wait() does, since the socket's bytes
  // are that one's to look at. False when the client left first.
  asio::ip::tcp::socket& socket() { return socket_; }
  std::function<Awaitable<bool>(asio::steady_timer&)> wait_instead;

 private:
  Awaitable<bool> send_dripping(const std::string& bytes);

  asio::ip::tcp::socket& socket_;
};

class Handler {
 public:
  virtual ~Handler() = default;
  // Called once per request; returning without an answer closes the connection.
  virtual Awaitable<> serve(Exchange& exchange) = 0;
  // Called after each request, whatever became of it.
  virtual void done(const Exchange&) {}
  // A body over the limit; the default is an empty 413.
  virtual std::string too_large() { return "HTTP/1.1 413 Payload Too Large\r\ncontent-length: 0\r\n\r\n"; }
};

class HttpServer {
 public:
  HttpServer(asio::io_context& io, Handler& handler, std::size_t largest_body)
      : io_(io), handler_(handler), largest_body_(largest_body), acceptor_(io), drained_(io) {}

  // Listens and serves from then on; port 0 picks a free one. The error says why it can't.
  boost::system::error_code open(const std::string& host, std::uint16_t port);
  std::uint16_t port() const { return acceptor_.local_endpoint().port(); }

  // No more connections; waits until the requests in flight are answered, or `limit` has passed.
  Awaitable<> drain(std::chrono::milliseconds limit);
  int connections() const { return connections_; }

 private:
  Awaitable<> accept();
  Awaitable<> serve(asio::ip::tcp::socket socket);

  asio::io_context& io_;
  Handler& handler_;
  const std::size_t largest_body_;
  asio::ip::tcp::acceptor acceptor_;
  asio::steady_timer drained_;  // cancelled when the last connection ended
  std::set<asio::ip::tcp::socket*> idle_;
  bool draining_ = false;
  int connections_ = 0;
};

// Completion handler of co_spawn: what a coroutine doesn't handle is a bug, and ends the program.
inline void end_on_bug(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

}  // namespace cppworker::stand_ins
