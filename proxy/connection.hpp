// One client's connection: its stream, the request that is being read from it, and the two watchers of that
// request: the client's leaving and the deadline.
//
// Threads: a connection stays on the thread that it was given to.
#pragma once

#include <atomic>
#include <memory>
#include <optional>
#include <string_view>
#include <boost/asio/ip/tcp.hpp>
#include <boost/beast/core/flat_buffer.hpp>
#include <boost/beast/http.hpp>

#include "common/async.hpp"
#include "proxy/active_request.hpp"
#include "proxy/body_buffer.hpp"
#include "proxy/body_pace.hpp"
#include "proxy/client_shares.hpp"
#include "proxy/client_stream.hpp"
#include "proxy/error_response.hpp"
#include "proxy/hang_up.hpp"
#include "proxy/message_heads.hpp"
#include "proxy/parking_place.hpp"

namespace cppworker {

struct ConnectionLimits {
  std::chrono::seconds handshake{10};  // TLS; a second on a bad line
  // From a request's first byte to the end of its head; and for a new connection's first byte: nobody opens
  // one without having a request.
  std::chrono::seconds head{10};
  std::chrono::seconds body{120};  // for the whole body; the largest that is allowed needs 0.5 MB/s
  // And inside it, for a body past what is nobody's loss (body_pace.hpp): 16 KiB/s is slower than any line
  // that somebody sends megabytes over, and 10 s are longer than a line's pauses.
  std::chrono::seconds body_window{10};
  std::uint64_t body_pace = 16 * 1024;  // bytes a second
  std::chrono::seconds idle{75};        // between requests, as nginx has it
  // WebSocket: from the handshake to the end of the message that says who asks.
  std::chrono::seconds first_message{30};
  std::uint32_t head_bytes = 16 * 1024;
  const std::atomic<bool>* last_answer = nullptr;  // set: each answer is its connection's last
};

class Connection : public Deadlined, public std::enable_shared_from_this<Connection> {
 public:
  // `tls`: as ClientStream takes it.
  Connection(asio::ip::tcp::socket socket, TlsContext tls, const ConnectionLimits& limits,
             ClientShares::Place client, DeadlineTicker& ticker);

  // TLS, where the stream has it. False: this client can't be talked to.
  Awaitable<bool> handshake();

  // Waits for a request and reads its head. nullopt: it's there (head()). A Refusal with status 0: nothing
  // more will come, close quietly.
  Awaitable<std::optional<Refusal>> read_head();

  // Reads the body, of at most `limit` bytes, into body(); asks for it first where the client waits for that
  // (Expect: 100-continue).
  Awaitable<std::optional<Refusal>> read_body(std::uint64_t limit);

  const RequestHead& head() const { return *head_; }
  bool has_head() const { return head_.has_value(); }
  std::string_view body() const { return body_.text(); }
  // Frees the body: nobody looks at it, or at slices of it, any more.
  void release_body();
  bool wants_keep_alive() const {
    return keep_alive_ && !(limits_.last_answer != nullptr && limits_.last_answer->load());
  }
  // Its answer has a head alone.
  bool is_head_request() const { return head_ && head_->is_head(); }
  bool body_unread() const { return body_unread_; }

  // It has shown a good signature: from here on its place goes to nobody else.
  void keep_place() { keeps_place_ = true; }
  // Closes one that hasn't, and waits for its client: for a request, for the rest of one, for its leaving.
  bool give_way() override;
  // The same while a WebSocket's first message is waited for, whose reader sees active() aborted.
  void set_awaits_first_message(bool awaits) { awaits_first_message_ = awaits; }

  // From here to the end of stop_watching, the client's leaving aborts active(). Nothing else may read.
  void watch_client();
  Awaitable<> stop_watching();
  ActiveRequest& active() { return active_; }
  const ActiveRequest& active() const { return active_; }

  // What the client sent ahead, after the request: for an upgraded connection, whose bytes they are.
  boost::beast::flat_buffer& read_ahead() { return buffer_; }

  Awaitable<bool> write(std::string_view text);
  ClientStream& stream() { return stream_; }
  const ClientStream& stream() const { return stream_; }
  // What this client's bodies are charged to.
  MemoryBudget& bodies() const { return client_.bodies(); }
  const ClientShares::Place& client() const { return client_; }

  // Forgets the request, and its memory: idle connections hold no buffers.
  void finish_request();
  // After the last response, so that the client gets to read it (RFC 9112 section 9.6): closing at once would
  // answer bytes of its that are still on their way with an RST, which destroys the response.
  Awaitable<> close_lingering();
  // After a response that broke off: an RST, so that even a body that ends with the connection looks broken.
  void close_broken();
  void close();

 private:
  using ChunkParser = boost::beast::http::request_parser<boost::beast::http::buffer_body>;
  enum class Reading { kNothing, kHandshake, kHead, kBody, kLingering };

  // One read of a head: nearly all have less than this.
  static constexpr std::size_t kReadStep = 4096;
  // What a client may send ahead (pipelining) while its request is being served, as long as a head; past that
  // it is left in the kernel's buffer. No budget has this, nor the next: they are small for that.
  static constexpr std::size_t kMostReadAhead = 16 * 1024;
  // A chunk's line with its extensions, or the last one with all trailers; nobody is known to send a hundred
  // bytes of either.
  static constexpr std::size_t kMostAroundChunks = 8 * 1024;

  void on_deadline() override;
  void begin_body_window();
  void on_readable();
  void ask_for_bytes();
  void watch_by_reading();
  void watch_for_hang_up();
  void on_client_gone();
  std::string_view buffered() const;
  std::optional<std::size_t> read_at_once(std::size_t at_most);
  Awaitable<boost::system::error_code> read_more(std::size_t at_most);
  void drop_empty_lines();
  Awaitable<bool> wait_for_request();
  std::optional<Refusal> take_head(std::size_t size);
  Awaitable<std::optional<Refusal>> read_sized_body(std::uint64_t length);
  Awaitable<std::optional<Refusal>> read_chunked_body(std::uint64_t limit);

  ClientStream stream_;
  const ConnectionLimits& limits_;
  const ClientShares::Place client_;
  boost::beast::flat_buffer buffer_;

  int empty_lines_ = 0;  // that were dropped before the request
  bool new_ = true;      // no request has come
  std::optional<RequestHead> head_;
  std::unique_ptr<ChunkParser> chunk_parser_;  // where the body is chunked
  bool keep_alive_ = false, body_unread_ = false;
  BodyBuffer body_;
  Clock::time_point body_until_;  // while it is read
  std::optional<BodyPace> pace_;  // the same; none: the time that is left is no whole window

  ActiveRequest active_;
  Reading reading_ = Reading::kNothing;
  bool timed_out_ = false;
  bool keeps_place_ = false, awaits_first_message_ = false;
  bool watching_ = false;
  ParkingPlace* for_bytes_ = nullptr;              // of the next request; there while bytes are asked for
  std::optional<HangUpWatch> hang_up_;             // past what may be sent ahead
  bool watch_reads_ = false;                       // TLS: the watch is a read under way
  std::optional<asio::steady_timer> watch_ended_;  // and this is cancelled when it has ended
};

}  // namespace cppworker
