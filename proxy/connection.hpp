// One client's connection: its socket, the request that is being read from it, and the two watchers of that
// request: the client's leaving and the deadline.
//
// Threads: a connection stays on the thread that it was given to.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "common/async.hpp"
#include "proxy/active_request.hpp"
#include "proxy/error_response.hpp"
#include "proxy/message_heads.hpp"

namespace cppworker {

struct ConnectionLimits {
  std::chrono::seconds head{10};   // from a request's first byte to the end of its head
  std::chrono::seconds body{120};  // for the whole body; the largest that is allowed needs 0.5 MB/s
  std::chrono::seconds idle{75};   // between requests, as nginx has it
  std::uint32_t head_bytes = 16 * 1024;
};

class Connection : public Deadlined, public std::enable_shared_from_this<Connection> {
 public:
  using Parser = boost::beast::http::request_parser<boost::beast::http::string_body>;

  Connection(asio::ip::tcp::socket socket, const ConnectionLimits& limits, DeadlineTicker& ticker);

  // Waits for a request and reads its head. nullopt: it's there (head()). A Refusal with status 0: nothing
  // more will come, close quietly.
  Awaitable<std::optional<Refusal>> read_head();

  // Reads the body, of at most `limit` bytes, into body(); asks for it first where the client waits for that
  // (Expect: 100-continue).
  Awaitable<std::optional<Refusal>> read_body(std::uint64_t limit);

  const RequestHead& head() const { return parser_->get(); }
  std::string& body() { return parser_->get().body(); }
  bool has_body() const;  // as the head announces it
  bool wants_keep_alive() const { return parser_->get().keep_alive(); }
  bool body_unread() const { return !parser_->is_done(); }

  // From here to stop_watching, the client's leaving aborts active().
  void watch_client();
  void stop_watching();
  ActiveRequest& active() { return active_; }

  Awaitable<bool> write(std::string_view text);
  asio::ip::tcp::socket& socket() { return socket_; }

  // Forgets the request, and its memory: idle connections hold no buffers.
  void finish_request();
  // After a refusal that leaves the request's body unread: the client gets to read the answer before the end
  // (RFC 9112 section 9.6); closing at once would answer its remaining bytes with an RST that destroys it.
  Awaitable<> close_lingering();
  // After a response that broke off: an RST, so that even a body that ends with the connection looks broken.
  void close_broken();
  void close();

 private:
  void on_deadline() override;
  void on_readable();

  asio::ip::tcp::socket socket_;
  const ConnectionLimits& limits_;
  boost::beast::flat_buffer buffer_;
  std::optional<Parser> parser_;
  ActiveRequest active_;
  enum class Reading { kNothing, kHead, kBody } reading_ = Reading::kNothing;
  bool timed_out_ = false;
  bool watching_ = false;
  std::uint64_t watch_generation_ = 0;
};

}  // namespace cppworker
