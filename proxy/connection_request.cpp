// How a connection reads: a request's head, and its body.
#include "proxy/connection.hpp"

#include <algorithm>
#include <limits>

#include "proxy/coarse_clock.hpp"
#include "proxy/request_head_check.hpp"
#include "proxy/socket_now.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using boost::system::error_code;

// The read buffer has a limit of its own only while Beast reads into it, for a chunked body. Whoever else
// reads goes by what it may read: a prepare() past the limit throws.
constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();

// Bodies of others fill the memory that there is for them: a moment later some will have gone.
constexpr int kRetryWhenBodiesFull = 2;

// Chunks whose framing is more than their bytes cost the parser as much as large ones. So many are anybody's,
// who writes a text word by word; from there on each must bring this much, on the average.
constexpr std::uint64_t kFreeChunks = 16 * 1024;
constexpr std::uint64_t kLeastChunk = 64;

// Before a request. Those that slip send one or two. They are read in a loop that lets nobody else's turn
// come: it must have an end.
constexpr int kMostEmptyLines = 8;

Refusal silence() {
  return Refusal{};
}

Refusal refuse_and_close(int status, std::string_view text) {
  Refusal refusal = refuse(status, text);
  refusal.close = true;
  return refusal;
}

Refusal no_memory() {
  Refusal refusal = refuse_and_close(503, "proxy: too many large request bodies at once");
  refusal.retry_after_s = kRetryWhenBodiesFull;
  refusal.bodies_full = true;
  return refusal;
}

// RFC 9112 section 7.1.1; Beast lets them pass inside quotes.
bool has_control_characters(boost::beast::string_view text) {
  return std::any_of(text.begin(), text.end(),
                     [](unsigned char c) { return (c < 0x20 && c != '\t') || c == 0x7f; });
}

// What stands behind the line of the last chunk, which ends with `extension`, up to the empty line.
std::string_view trailers_behind(std::string_view buffered, boost::beast::string_view extension) {
  constexpr std::string_view kLineEnd = "\r\n";
  std::string_view text =
      buffered.substr(static_cast<std::size_t>(extension.data() + extension.size() - buffered.data()));
  text = text.substr(0, text.find("\r\n\r\n") + 2 * kLineEnd.size());
  return text.substr(kLineEnd.size());
}

// Of the head, which was read already, it needs to know one thing.
template <class Parser>
std::unique_ptr<Parser> chunk_parser(std::uint32_t longest_trailers) {
  constexpr std::string_view kHead = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";
  auto parser = std::make_unique<Parser>();
  parser->header_limit(longest_trailers);
  parser->body_limit(boost::none);  // set when the body is read
  error_code error;
  parser->put(asio::buffer(kHead.data(), kHead.size()), error);
  return parser;
}

// An error inside a chunked body as an answer. Everything that isn't said apart is a malformed request.
Refusal explain(const error_code& error) {
  if (error == http::error::end_of_stream || error == http::error::partial_message) return silence();
  if (error.category() != make_error_code(http::error::bad_method).category()) return silence();
  if (error == http::error::body_limit)
    return refuse_and_close(413, "proxy: the request's body is too large");
  return refuse_and_close(400, "proxy: malformed chunked body");
}

}  // namespace

std::string_view Connection::buffered() const {
  auto data = buffer_.cdata();
  return {static_cast<const char*>(data.data()), data.size()};
}

Awaitable<error_code> Connection::read_more(std::size_t at_most) {
  auto [error, read] = co_await stream_.async_read_some(buffer_.prepare(at_most), kTuple);
  buffer_.commit(read);
  co_return error;
}

// Not under TLS, where only reading tells.
std::optional<std::size_t> Connection::read_at_once(std::size_t at_most) {
  std::optional<std::size_t> read = receive_now(stream_.socket(), buffer_.prepare(at_most));
  buffer_.commit(read.value_or(0));
  return read;
}

// An empty line before the request is a slip of old clients (RFC 9112 section 2.2). Those past the limit stay
// where they are.
void Connection::drop_empty_lines() {
  for (; empty_lines_ < kMostEmptyLines && buffered().starts_with("\r\n"); ++empty_lines_) buffer_.consume(2);
}

// Waits for a request's first bytes. False: none will come.
Awaitable<bool> Connection::wait_for_request() {
  drop_empty_lines();
  if (buffer_.size() > 0) co_return true;
  set_deadline(new_ ? limits_.head : limits_.idle);
  while (buffer_.size() == 0) {
    // An idle connection holds no buffer.
    if (stream_.is_tls()) {
      buffer_.shrink_to_fit();
      error_code error = co_await stream_.wait_for_bytes();
      if (!error) error = co_await read_more(kReadStep);
      if (error) co_return false;
    } else if (for_bytes_ == nullptr) {  // else none have come since they were asked for
      std::optional<std::size_t> read = read_at_once(std::min<std::size_t>(kReadStep, limits_.head_bytes));
      if (read == 0) co_return false;
      if (!read) {
        buffer_.shrink_to_fit();
        ask_for_bytes();
      }
    } else {
      auto [error] = co_await for_bytes_->wait();
      if (error) co_return false;
    }
    drop_empty_lines();
  }
  co_return true;
}

Awaitable<std::optional<Refusal>> Connection::read_head() {
  bool begun = co_await wait_for_request();
  if (!begun) co_return silence();
  reading_ = Reading::kHead;
  set_deadline(limits_.head);
  std::optional<Refusal> refusal;
  std::size_t searched = 0;
  HeadProgress progress;
  while (true) {
    if (searched == 0 && buffered().starts_with("\r\n")) {
      drop_empty_lines();
      progress = {};
    }
    std::string_view text = buffered();
    if (text.starts_with("\r\n")) {
      refusal = refuse_and_close(400, "proxy: too many empty lines before a request");
      break;
    }
    std::size_t end = text.find("\r\n\r\n", searched);
    if (end != std::string_view::npos) {
      refusal = take_head(end + 4);
      break;
    }
    if (auto problem = check_unfinished_head(text, progress)) {
      refusal = refuse_and_close(problem->status, problem->text);
      break;
    }
    if (text.size() >= limits_.head_bytes) {
      bool in_first_line = text.find('\n') == std::string_view::npos;
      refusal = in_first_line ? refuse_and_close(414, "proxy: the request's target is too long")
                              : refuse_and_close(431, "proxy: the request's headers are too large");
      break;
    }
    searched = text.size() > 3 ? text.size() - 3 : 0;
    std::size_t at_most = std::min(kReadStep, limits_.head_bytes - text.size());
    if (!stream_.is_tls() && read_at_once(at_most).value_or(0) > 0) continue;
    error_code error = co_await read_more(at_most);
    if (timed_out_) {
      refusal = refuse_and_close(408, "proxy: the request's head took too long to arrive");
      break;
    }
    if (error) {
      refusal = silence();
      break;
    }
  }
  clear_deadline();
  reading_ = Reading::kNothing;
  co_return refusal;
}

// The first `size` bytes of the buffer are a whole head.
std::optional<Refusal> Connection::take_head(std::size_t size) {
  if (size > limits_.head_bytes) return refuse_and_close(431, "proxy: the request's headers are too large");
  std::string_view text = buffered().substr(0, size);
  RequestHeadResult head = read_request_head(text);
  if (!head) return refuse_and_close(head.error().status, head.error().text);
  head_ = *std::move(head);
  buffer_.consume(size);
  empty_lines_ = 0;
  new_ = false;
  keep_alive_ = head_->keep_alive();
  if (head_->is_chunked()) chunk_parser_ = chunk_parser<ChunkParser>(kMostAroundChunks);
  body_unread_ = head_->has_body();
  return std::nullopt;
}

Awaitable<std::optional<Refusal>> Connection::read_body(std::uint64_t limit) {
  if (!body_unread_) co_return std::nullopt;
  // Said before the body is asked for: a client that waits for 100-continue needn't send it in vain.
  std::uint64_t length = head().content_length().value_or(0);
  if (length > limit) co_return refuse_and_close(413, "proxy: the request's body is too large");
  reading_ = Reading::kBody;
  body_until_ = coarse_now() + limits_.body;
  pace_.emplace(limits_.body_pace * static_cast<std::uint64_t>(limits_.body_window.count()),
                BodyBuffer::kUncharged);
  begin_body_window();
  // An HTTP/1.0 client doesn't know interim responses (RFC 9110 section 10.1.1). In the body's time: a client
  // that takes nothing would hold the connection for ever.
  bool expects = !head().is_http_1_0() && head().has(HeaderName::kExpect);
  if (expects && buffer_.size() == 0) {
    bool asked = co_await write("HTTP/1.1 100 Continue\r\n\r\n");
    if (!asked) {
      clear_deadline();
      reading_ = Reading::kNothing;
      co_return silence();
    }
  }
  std::optional<Refusal> refusal;
  if (chunk_parser_)
    refusal = co_await read_chunked_body(limit);
  else
    refusal = co_await read_sized_body(length);
  buffer_.max_size(kUnlimited);
  clear_deadline();
  reading_ = Reading::kNothing;
  if (timed_out_) refusal = refuse_and_close(408, "proxy: the request's body took too long to arrive");
  // At once: a refused client may take half a minute to hear of it.
  if (refusal)
    body_.clear();
  else
    body_unread_ = false;
  co_return refusal;
}

// Without a pace in the last one: its end is the end of the body's time.
void Connection::begin_body_window() {
  auto end = coarse_now() + limits_.body_window;
  if (end >= body_until_) pace_.reset();
  set_deadline_at(std::min(end, body_until_));
}

Awaitable<std::optional<Refusal>> Connection::read_sized_body(std::uint64_t length) {
  while (body_.size() < length) {
    std::uint64_t left = length - body_.size();
    if (!body_.make_room(bodies(), left)) co_return no_memory();
    std::size_t room = static_cast<std::size_t>(std::min<std::uint64_t>(left, body_.free_size()));
    asio::mutable_buffer space(body_.free_begin(), room);
    if (buffer_.size() > 0) {
      std::size_t copied = asio::buffer_copy(space, buffer_.cdata());
      buffer_.consume(copied);
      body_.commit(copied);
      continue;
    }
    buffer_.shrink_to_fit();  // it is empty, and may have been as large as a head
    auto [error, read] = co_await stream_.async_read_some(space, kTuple);
    body_.commit(read);
    // Also without an error: the deadline may have come when these bytes were here already.
    if (error || timed_out_) co_return silence();
  }
  co_return std::nullopt;
}

Awaitable<std::optional<Refusal>> Connection::read_chunked_body(std::uint64_t limit) {
  chunk_parser_->body_limit(limit);
  std::uint64_t chunks = 0;
  // Lives as long as the parser is given bytes: in this function. The last chunk comes with all trailers
  // behind it in the buffer, of which the parser would take folded ones.
  auto check_chunk = [this, &chunks](std::uint64_t size, boost::beast::string_view extension,
                                     error_code& error) {
    if (has_control_characters(extension)) error = http::error::bad_chunk_extension;
    if (size == 0 && check_trailers(trailers_behind(buffered(), extension))) error = http::error::bad_field;
    if (++chunks > kFreeChunks + body_.size() / kLeastChunk) error = http::error::bad_chunk;
  };
  chunk_parser_->on_chunk_header(check_chunk);
  // What came with the head may have left a larger block than is kept here.
  if (buffer_.capacity() > kMostAroundChunks) buffer_.shrink_to_fit();
  while (!chunk_parser_->is_done()) {
    // Beast collects a chunk's line, and all trailers, until they end: here they do so in time, or not at
    // all.
    buffer_.max_size(std::max(buffer_.size(), kMostAroundChunks));
    if (!body_.make_room(bodies(), limit - body_.size())) co_return no_memory();
    std::size_t room = body_.free_size();
    auto& into = chunk_parser_->get().body();
    into.data = body_.free_begin();
    into.size = room;
    into.more = true;
    auto [error, read] = co_await http::async_read_some(stream_, buffer_, *chunk_parser_, kTuple);
    body_.commit(room - chunk_parser_->get().body().size);
    if (timed_out_) co_return silence();
    if (error && error != http::error::need_buffer) co_return explain(error);
  }
  co_return std::nullopt;
}

}  // namespace cppworker
