#include "proxy/relay.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <span>
#include <boost/asio/write.hpp>
#include <boost/beast/http.hpp>

#include "launchers/failure_detector.hpp"
#include "proxy/body_buffer.hpp"
#include "proxy/closed_answer.hpp"
#include "proxy/socket_now.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;
using Parser = http::response_parser<http::buffer_body>;

// One read of the body, and one piece to the client. Of a body whose length is known (an image, say) the
// larger; of a stream, of which there may be a thousand, the smaller, which still holds dozens of events.
constexpr std::size_t kLargestPiece = 32 * 1024;
constexpr std::size_t kStreamPiece = 8 * 1024;
// The largest answer that is read ahead of its client: a few images in base64.
constexpr std::uint64_t kMostGathered = 16 << 20;
// One read of a head: with it comes all of a short answer.
constexpr std::size_t kHeadStep = 4 * 1024;
// One write of a body: far more than a socket's buffer, so that each fills it.
constexpr std::size_t kWriteAtMost = 1 << 20;
// Inference servers send a dozen headers; more than this is no inference server.
constexpr std::uint32_t kLargestHead = 64 * 1024;
// An idle connection may die at the very moment it is taken; a fresh one after it does not.
constexpr int kMostAttempts = 2;

std::unique_ptr<Parser> make_parser(bool head_method) {
  auto parser = std::make_unique<Parser>();
  parser->body_limit(boost::none);
  parser->header_limit(kLargestHead);
  parser->skip(head_method);
  return parser;
}

Framing framing_for(const Parser& parser, bool head_method, bool http_1_0) {
  int status = static_cast<int>(parser.get().result_int());
  if (head_method || status == 204 || status == 304) return Framing::kNone;
  if (parser.content_length()) return Framing::kLength;
  return http_1_0 ? Framing::kClose : Framing::kChunked;
}

// What nobody reads before its end, other than events, lines, or sound: without a length, the type alone
// tells that holding it back holds up nobody.
bool is_document(boost::beast::string_view content_type) {
  const auto type = content_type.substr(0, content_type.find_first_of("; \t"));
  for (const char* document : {"application/json", "application/octet-stream", "application/zip"})
    if (boost::beast::iequals(type, document)) return true;
  return boost::beast::iequals(type.substr(0, 6), "image/");
}

// The server has answered while it is still being sent the body, with a refusal, or has closed: it won't read
// on.
bool refuses_the_rest(asio::ip::tcp::socket& socket) {
  constexpr std::string_view kVersion = "HTTP/1.";
  constexpr std::size_t kStatus = 9;  // behind "HTTP/1.1 "
  char begin[kStatus + 1];
  ssize_t n = ::recv(socket.native_handle(), begin, sizeof begin, MSG_PEEK | MSG_DONTWAIT);
  if (n < static_cast<ssize_t>(sizeof begin)) return n == 0;
  return std::string_view(begin, sizeof begin).starts_with(kVersion) && begin[kStatus] >= '3';
}

// An answer's share of the memory that there is for what is read ahead.
class GatheredShare {
 public:
  // `budget` may be nullptr. Holds nothing when that much isn't left.
  GatheredShare(MemoryBudget* budget, std::uint64_t bytes)
      : budget_(budget != nullptr && budget->take(bytes) ? budget : nullptr), bytes_(bytes) {}
  ~GatheredShare() {
    if (budget_ != nullptr) budget_->give_back(bytes_);
  }
  GatheredShare(const GatheredShare&) = delete;
  GatheredShare& operator=(const GatheredShare&) = delete;

  bool held() const { return budget_ != nullptr; }

 private:
  MemoryBudget* const budget_;
  const std::uint64_t bytes_;
};

// The hexadecimal length line that goes before a chunk (RFC 9112 section 7.1).
struct ChunkStart {
  std::array<char, 20> text;
  std::size_t size;

  explicit ChunkStart(std::size_t bytes) {
    char* end = std::to_chars(text.data(), text.data() + 16, bytes, 16).ptr;
    *end++ = '\r';
    *end++ = '\n';
    size = static_cast<std::size_t>(end - text.data());
  }
};

class Relay {
 public:
  Relay(ClientStream& client, UpstreamPool& pool, const RelayRequest& request, const RelayLimits& limits,
        ActiveRequest& active)
      : client_(client),
        pool_(pool),
        request_(request),
        limits_(limits),
        active_(active),
        head_method_(request.head.is_head()),
        failures_(request.failure_lines),
        started_(Clock::now()) {}

  Awaitable<RelayResult> run() {
    for (int attempt = 1;; ++attempt) {
      // A phase that began now would put off what abort() still has to do.
      if (aborted()) break;
      // What died idle once may do so again: the second attempt is fresh.
      connection_ = attempt == 1 ? pool_.take_idle() : nullptr;
      bool connected = connection_ != nullptr;
      if (connected)
        active_.set_upstream(&connection_->socket);
      else
        connected = co_await connect();
      if (!connected) break;
      bool answered = co_await exchange_heads();
      if (answered) {
        if (request_.when_answered) request_.when_answered();
        co_await pass_response();
        break;
      }
      // Later, it may have computed, and died of this very request.
      bool at_once = !sent_whole_ || Clock::now() - sent_ < limits_.died_idle;
      bool died_idle = connection_->reused && result_.end == RelayEnd::kNoAnswer && at_once;
      if (!died_idle || attempt == kMostAttempts || aborted()) break;
    }
    active_.set_upstream(nullptr);
    if (aborted() && result_.end != RelayEnd::kComplete) result_.end = RelayEnd::kAborted;
    co_return result_;
  }

 private:
  bool aborted() const { return active_.aborted(); }

  // An error body comes from a server that fails, and a comment (an event stream's line that begins with ':')
  // from a front that keeps the connection open whatever its engine does: neither shows that work goes on.
  bool is_progress(char first) const { return result_.status < 400 && first != ':'; }

  Awaitable<bool> connect() {
    connection_ = pool_.make(client_.get_executor());
    active_.set_upstream(&connection_->socket);
    active_.begin_phase(limits_.connect);
    auto [error] = co_await connection_->socket.async_connect(pool_.server(), kTuple);
    result_.connected_anew = true;
    result_.end = RelayEnd::kUnreachable;
    if (error || aborted()) co_return false;
    tune(*connection_);
    co_return true;
  }

  // Sends the request, reads the response's head. False: no head came, and result_.end says why.
  Awaitable<bool> exchange_heads() {
    UpstreamRequest upstream;
    upstream.authority = pool_.authority();
    upstream.request_id = request_.request_id;
    upstream.plain_answer = !request_.failure_lines.empty();
    for (std::string_view piece : request_.body) upstream.body_bytes += piece.size();
    upstream.has_body = upstream.body_bytes > 0 || (!request_.head.is_get() && !head_method_);
    std::string head = upstream_request_head(request_.head, upstream);

    std::vector<asio::const_buffer> buffers{asio::buffer(head)};
    for (std::string_view piece : request_.body) buffers.emplace_back(piece.data(), piece.size());
    active_.begin_phase(limits_.first_byte);
    sent_ = Clock::now();
    std::span<asio::const_buffer> left = drop_sent(buffers, send_now(connection_->socket, buffers));
    sent_whole_ = left.empty();
    if (!sent_whole_) co_await send_rest_of_request(left);
    result_.end = RelayEnd::kNoAnswer;

    while (true) {
      parser_ = make_parser(head_method_);
      error_code error;
      while (!error && !parser_->is_header_done()) error = co_await parse_some(kHeadStep);
      if (aborted()) co_return false;
      if (error) {
        if (parser_->got_some()) result_.end = RelayEnd::kBadAnswer;
        co_return false;
      }
      if (parser_->get().result() == http::status::switching_protocols) {
        result_.end = RelayEnd::kBadAnswer;  // nobody asked for it, and no HTTP would follow
        co_return false;
      }
      if (parser_->get().result_int() / 100 != 1) break;  // 1xx: the final response follows
    }
    result_.status = static_cast<int>(parser_->get().result_int());
    result_.first_byte_seconds = std::chrono::duration<double>(Clock::now() - started_).count();
    co_return true;
  }

  // Its error is passed over: a server may answer (413, say) before it has read the whole body, and close or
  // read no more of it. Its answer is worth reading; where there is none, the read that follows fails.
  Awaitable<> send_rest_of_request(std::span<const asio::const_buffer> left) {
    struct Sending {
      asio::ip::tcp::socket* socket;  // nullptr: it has ended
      bool stopped = false;
    };
    asio::ip::tcp::socket& socket = connection_->socket;
    auto sending = std::make_shared<Sending>(Sending{&socket});
    socket.async_wait(asio::ip::tcp::socket::wait_read, [sending](error_code error) {
      if (error || sending->socket == nullptr || !refuses_the_rest(*sending->socket)) return;
      sending->stopped = true;
      sending->socket->cancel(error);
    });
    // The condition is for a cancellation that comes between two of its writes, and would be lost.
    auto all = [sending](const error_code& error, std::size_t) {
      return error || sending->stopped ? 0 : kWriteAtMost;
    };
    auto [error, sent] = co_await asio::async_write(socket, left, all, kTuple);
    sent_whole_ = !error && !sending->stopped;
    sending->socket = nullptr;
    error_code ignored;
    socket.cancel(ignored);
  }

  // A step of the parser, over what is here or the next bytes that come: what Beast's async_read_some does,
  // which takes a turn of the loop for bytes that are here already.
  Awaitable<error_code> parse_some(std::size_t read_at_most) {
    boost::beast::flat_buffer& buffer = connection_->buffer;
    error_code error;
    while (true) {
      if (buffer.size() > 0) {
        buffer.consume(parser_->put(buffer.data(), error));
        if (error != http::error::need_more) co_return error;
      }
      auto [read_error, read] =
          co_await connection_->socket.async_read_some(buffer.prepare(read_at_most), kTuple);
      buffer.commit(read);
      if (!read_error) continue;
      if (read_error != asio::error::eof) co_return read_error;
      if (!parser_->got_some()) co_return http::error::end_of_stream;
      error = {};
      parser_->put_eof(error);
      co_return error;
    }
  }

  Awaitable<> pass_response() {
    bool http_1_0 = request_.head.is_http_1_0();
    framing_ = framing_for(*parser_, head_method_, http_1_0);
    result_.keep_alive = request_.keep_alive && framing_ != Framing::kClose;
    std::optional<std::uint64_t> length;
    if (parser_->content_length()) length = *parser_->content_length();
    // The head waits for the body's first bytes only when they are here already.
    std::string head =
        client_response_head(parser_->get(), framing_, length, result_.keep_alive, request_.request_id);
    bool head_sent = false;
    // Where the end of the connection is the end of the answer. A GET's may well be empty: of a health route.
    std::optional<ClosedAnswer> closed;
    bool posted = request_.head.is_post();
    if (posted && !length && !parser_->chunked() && framing_ != Framing::kNone)
      closed.emplace(std::string_view(parser_->get()[http::field::content_type]));
    bool may_gather =
        length && framing_ == Framing::kLength && *length > kLargestPiece && *length <= kMostGathered;
    bool read_ahead = !length && framing_ != Framing::kNone && request_.gathered != nullptr &&
                      is_document(parser_->get()[http::field::content_type]);
    BodyBuffer ahead;
    const GatheredShare share(may_gather ? request_.gathered : nullptr, length.value_or(0));
    std::size_t piece_size = share.held() ? *length
                             : length     ? std::clamp<std::uint64_t>(*length, 1, kLargestPiece)
                                          : kStreamPiece;
    std::unique_ptr<char[]> piece(new char[piece_size]);

    if (connection_->buffer.size() == 0 && !parser_->is_done()) {
      std::span<asio::const_buffer> left = begin_send(head, {}, false);
      bool taken = left.empty();
      if (!taken) taken = co_await send_rest(left);
      if (!taken) co_return;
      head_sent = true;
    }
    while (true) {
      std::string_view data;
      if (!parser_->is_done()) {
        error_code error;
        if (std::exchange(read_ahead, false)) {
          error = co_await read_document(ahead);
          data = ahead.text();
        } else {
          ahead.clear();
          parser_->get().body().data = piece.get();
          parser_->get().body().size = piece_size;
          error = co_await read_piece(piece_size, share.held());
          data = {piece.get(), piece_size - parser_->get().body().size};
          count_progress(data);
        }
        if (result_.status / 100 == 2) failures_.see(data);
        if (closed) closed->see(data);
        bool cut_off = closed && parser_->is_done() && !closed->whole();
        if ((error && error != http::error::need_buffer) || cut_off || aborted()) {
          result_.end = RelayEnd::kBrokeOff;
          if (!data.empty() && !aborted()) {
            std::span<asio::const_buffer> left =
                begin_send(head_sent ? std::string_view{} : head, data, false);
            if (!left.empty()) co_await send_rest(left);
          }
          co_return;
        }
        if (data.empty() && !parser_->is_done())
          continue;  // a chunk's frame alone: nothing for the client yet
      }
      bool last = parser_->is_done();
      if (last) release_server();
      do {
        std::string_view slice = data.substr(0, kLargestPiece);
        data.remove_prefix(slice.size());
        std::span<asio::const_buffer> left =
            begin_send(head_sent ? std::string_view{} : head, slice, last && data.empty());
        bool taken = left.empty();
        if (!taken) taken = co_await send_rest(left);
        if (!taken) co_return;
        head_sent = true;
      } while (!data.empty());
      if (last) break;
    }
    result_.end = RelayEnd::kComplete;
    active_.end_phase();
  }

  // Some of the body, or all that there is room for.
  Awaitable<error_code> read_piece(std::size_t piece_size, bool fill) {
    error_code error;
    do {
      active_.begin_phase(limits_.between);
      error = co_await parse_some(std::clamp(piece_size, kHeadStep, kLargestPiece));
    } while (fill && !error && !parser_->is_done() && !aborted());
    co_return error;
  }

  // All of the rest, or as much as there is room for.
  Awaitable<error_code> read_document(BodyBuffer& ahead) {
    while (!parser_->is_done() && !aborted() && ahead.size() < kMostGathered &&
           ahead.make_room(*request_.gathered, kMostGathered - ahead.size())) {
      char* begin = ahead.free_begin();
      const std::size_t room = ahead.free_size();
      parser_->get().body().data = begin;
      parser_->get().body().size = room;
      error_code error = co_await read_piece(room, false);
      const std::size_t size = room - parser_->get().body().size;
      ahead.commit(size);
      count_progress({begin, size});
      if (error && error != http::error::need_buffer) co_return error;
    }
    co_return error_code{};
  }

  void count_progress(std::string_view piece) {
    if (!piece.empty() && request_.books && is_progress(piece.front()))
      request_.books->count(Counter::kUpstreamBytes, piece.size());
  }

  // It has done its part: the next request may have it, whatever this one's client does.
  void release_server() {
    result_.failed_inside = failures_.found();
    active_.set_upstream(nullptr);
    if (parser_->keep_alive() && sent_whole_)
      pool_.give_back(std::move(connection_));
    else
      connection_.reset();
    if (request_.when_read) request_.when_read(result_);
  }

  // Sends what there is in one go, as far as it is taken without waiting. What is left, send_rest() sends.
  std::span<asio::const_buffer> begin_send(std::string_view head, std::string_view data, bool last) {
    chunk_ = ChunkStart(data.size());
    std::size_t count = 0;
    auto add = [&](std::string_view text) {
      if (!text.empty()) outgoing_[count++] = asio::const_buffer(text.data(), text.size());
    };
    bool chunked = framing_ == Framing::kChunked;
    add(head);
    if (chunked && !data.empty()) add({chunk_.text.data(), chunk_.size});
    add(data);
    if (chunked && last)
      add(data.empty() ? "0\r\n\r\n" : "\r\n0\r\n\r\n");
    else if (chunked && !data.empty())
      add("\r\n");
    std::span<asio::const_buffer> filled(outgoing_.data(), count);
    if (count == 0) return filled;

    result_.response_started = true;
    if (client_.is_tls()) {
      if (count == 1) return filled;
      // One TLS record, and one packet, instead of one for each.
      gathered_.resize(asio::buffer_size(filled));
      asio::buffer_copy(asio::buffer(gathered_), filled);
      outgoing_[0] = asio::buffer(gathered_);
      return filled.first(1);
    }
    std::size_t sent = send_now(client_.socket(), filled);
    result_.bytes_to_client += sent;
    return drop_sent(filled, sent);
  }

  // False when the client didn't take it.
  Awaitable<bool> send_rest(std::span<const asio::const_buffer> left) {
    active_.begin_write_phase(limits_.write);
    // As in send_rest_of_request: an abort that comes between two writes to a client that hardly reads.
    auto all = [this](const error_code& failed, std::size_t) {
      return failed || aborted() ? 0 : kWriteAtMost;
    };
    auto [error, written] = co_await asio::async_write(client_, left, all, kTuple);
    result_.bytes_to_client += written;
    if (error && !aborted()) active_.abort(AbortCause::kClientGone);
    co_return !error && !aborted();
  }

  ClientStream& client_;
  UpstreamPool& pool_;
  const RelayRequest& request_;
  const RelayLimits& limits_;
  ActiveRequest& active_;
  const bool head_method_;
  FailureDetector failures_;
  const Clock::time_point started_;
  std::array<asio::const_buffer, 4> outgoing_;  // what begin_send() was given
  ChunkStart chunk_{0};
  std::string gathered_;
  std::unique_ptr<UpstreamConnection> connection_;
  std::unique_ptr<Parser> parser_;
  Framing framing_ = Framing::kNone;
  bool sent_whole_ = false;  // the request, so that another may follow it
  Clock::time_point sent_;   // when its sending began
  RelayResult result_;
};

}  // namespace

Awaitable<RelayResult> relay(ClientStream& client, UpstreamPool& pool, const RelayRequest& request,
                             const RelayLimits& limits, ActiveRequest& active) {
  Relay exchange(client, pool, request, limits, active);
  co_return co_await exchange.run();
}

}  // namespace cppworker
