#include "proxy/websocket_client.hpp"

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/write.hpp>

#include "proxy/socket_now.hpp"

namespace cppworker {
namespace {

// One read: what clients send after their first message is small.
constexpr std::size_t kPiece = 16 * 1024;
// What is held of a client's data while its request waits; past that it is left in the kernel's buffer.
constexpr std::size_t kMostHeld = 64 * 1024;
// A message is here once as it came and once in the frame that is made of its payload.
constexpr std::uint64_t kCopies = 2;
// A cancellation that comes between two steps of a TLS operation is lost: it is repeated until it is heeded.
constexpr std::chrono::milliseconds kCancelAgain{50};
// From the client's end on, for what it sent before, a close frame perhaps, to be read and passed on by a
// server that takes it. One that doesn't is left well within the 50 ms that a client's leaving may stay
// unnoticed.
constexpr std::chrono::milliseconds kLastWords{15};

Goodbye say(std::uint16_t code, std::string_view reason) {
  return {Goodbye::Kind::kSay, code, std::string(reason)};
}

}  // namespace

WebSocketClient::WebSocketClient(Connection& connection, ProxyThread& thread)
    : connection_(connection),
      thread_(thread),
      active_(connection.active()),
      pump_bell_(connection.stream().get_executor()),
      main_bell_(connection.stream().get_executor()),
      silence_(thread.core.relay_limits.first_byte) {}

WebSocketClient::~WebSocketClient() {
  connection_.bodies().give_back(charged_);
}

bool WebSocketClient::charge(std::uint64_t bytes) {
  if (!connection_.bodies().take(bytes)) return false;
  charged_ += bytes;
  return true;
}

Awaitable<> WebSocketClient::sleep_until_rung(asio::steady_timer& bell) {
  bell.expires_at(asio::steady_timer::time_point::max());
  co_await bell.async_wait(kTuple);
}

// What came right behind the handshake.
std::string WebSocketClient::take_read_ahead() {
  auto& buffer = connection_.read_ahead();
  std::string bytes(static_cast<const char*>(buffer.cdata().data()), buffer.cdata().size());
  buffer.consume(bytes.size());
  return bytes;
}

void WebSocketClient::hold(std::string_view bytes) {
  scanner_.see(bytes);
  held_.feed(bytes);
}

Awaitable<FirstMessage> WebSocketClient::read_first_message(std::uint64_t limit) {
  FirstMessageReader reader({.message_bytes = static_cast<std::size_t>(limit)});
  FirstMessage first;
  auto refuse = [&](int status, std::uint16_t code, std::string_view text) {
    thread_.core.ledger.count(bad_request_counter(status));
    first.end = say(code, text);
  };
  active_.begin_phase(thread_.core.connection_limits.first_message);
  connection_.set_awaits_first_message(true);
  std::string piece = take_read_ahead();
  while (!first.end) {
    reader.feed(piece);
    thread_.core.ledger.count(Counter::kBytesFromClients, piece.size());
    WebSocketEvent event = reader.next();
    while (event.kind == WebSocketEvent::Kind::kPing) {
      bool taken = co_await pong(event.text);
      event = reader.next();
      if (!taken) break;
    }
    if (event.kind == WebSocketEvent::Kind::kMessage) {
      if (!reader.is_text()) refuse(400, kCloseUnsupportedData, "proxy: the first message must be text");
      first.text = reader.take_message();
      hold(reader.rest());
      break;
    }
    if (event.kind == WebSocketEvent::Kind::kClose) first.end = say(event.code, "");
    if (event.kind == WebSocketEvent::Kind::kError)
      refuse(event.code == kCloseTooBig ? 413 : 400, event.code, event.text);
    if (first.end) break;
    piece.resize(kPiece);
    auto [error, size] = co_await connection_.stream().async_read_some(asio::buffer(piece), kTuple);
    piece.resize(size);
    if (active_.cause() == AbortCause::kTimedOut)
      refuse(408, kClosePolicy, "proxy: the first message took too long to arrive");
    else if (error)
      first.end = Goodbye{};
    else if (!charge(kCopies * size)) {
      thread_.core.ledger.count(Counter::kBodiesFull);
      first.end = say(kCloseTryAgainLater, "proxy: too many large requests at once");
    }
  }
  connection_.set_awaits_first_message(false);
  active_.end_phase();
  if (first.end) {
    first.text.clear();
    connection_.bodies().give_back(std::exchange(charged_, 0));
  }
  co_return first;
}

void WebSocketClient::attend() {
  hold(take_read_ahead());
  running_ = true;
  // Whatever it throws is thrown again by stop().
  asio::co_spawn(connection_.stream().get_executor(), pump(), [this](std::exception_ptr failure) {
    running_ = false;
    failure_ = failure;
    if (failure) active_.abort(AbortCause::kClientGone);
    main_bell_.cancel();
  });
}

Awaitable<> WebSocketClient::pump() {
  bool goes_on = co_await answer_controls();
  const auto piece = std::make_unique<char[]>(kPiece);
  while (goes_on && !stopping_) {
    if (server_ == nullptr && held_.size() >= kMostHeld) {
      watch_for_hang_up();
      co_await sleep_until_rung(pump_bell_);
      continue;
    }
    reading_ = true;
    auto [error, size] =
        co_await connection_.stream().async_read_some(asio::buffer(piece.get(), kPiece), kTuple);
    reading_ = false;
    if (stopping_) co_return;
    if (error) {
      active_.abort(AbortCause::kClientGone);
      co_return;
    }
    goes_on = co_await take({piece.get(), size});
  }
}

Awaitable<bool> WebSocketClient::take(std::string_view bytes) {
  thread_.core.ledger.count(Counter::kBytesFromClients, bytes.size());
  if (server_ == nullptr) {
    hold(bytes);
    co_return co_await answer_controls();
  }
  const std::uint64_t data_before = scanner_.data_bytes();
  scanner_.see(bytes);
  const asio::const_buffer piece(bytes.data(), bytes.size());
  const asio::const_buffer left = piece + send_now(*server_, {&piece, 1});
  bool taken = left.size() == 0;
  if (!taken) {
    watch_for_hang_up();
    auto [error, written] = co_await asio::async_write(*server_, left, kTuple);
    taken = !error;
  }
  if (scanner_.close_code())
    begin_closing();
  else if (scanner_.data_bytes() != data_before)
    note_traffic(Side::kClient);
  // A server that doesn't take it any more has ended the connection, as its other direction shows.
  co_return taken;
}

// While nothing is read, the client's end isn't, either. Few conversations come to that: the others go
// without a watch of their own.
void WebSocketClient::watch_for_hang_up() {
  if (hang_up_) return;
  asio::ip::tcp::socket& socket = connection_.stream().socket();
  hang_up_.emplace(socket.get_executor(), socket.native_handle(), kLastWords,
                   [this] { active_.abort(AbortCause::kClientGone); });
}

Awaitable<bool> WebSocketClient::answer_controls() {
  while (!handing_over_) {
    const auto control = held_.next();
    if (!control) break;
    if (control->opcode == WebSocketOpcode::kClose) {
      active_.abort(AbortCause::kClientGone);
      co_return false;
    }
    bool taken = co_await pong(control->payload);
    if (!taken) co_return false;
  }
  co_return true;
}

// In the time that the request's phase has, which stays as it is: a ping prolongs nothing.
Awaitable<bool> WebSocketClient::pong(std::string_view payload) {
  const std::string frame = websocket_frame(WebSocketOpcode::kPong, payload);
  co_return co_await write(frame);
}

Awaitable<bool> WebSocketClient::write(std::string_view bytes) {
  if (!intact_) co_return false;
  writing_ = true;
  auto [error, written] =
      co_await asio::async_write(connection_.stream(), asio::buffer(bytes.data(), bytes.size()), kTuple);
  writing_ = false;
  thread_.core.ledger.count(Counter::kBytesToClients, written);
  sent_ += written;
  if (error) {
    intact_ = false;
    active_.abort(AbortCause::kClientGone);
  }
  main_bell_.cancel();
  co_return !error;
}

Awaitable<bool> WebSocketClient::send(std::string_view bytes) {
  while (writing_) co_await sleep_until_rung(main_bell_);
  if (closing_)
    active_.begin_write_phase(kCloseWait);
  else
    active_.begin_write_phase(thread_.core.relay_limits.write);
  bool taken = co_await write(bytes);
  resume_phase();
  co_return taken;
}

Awaitable<bool> WebSocketClient::hand_over(asio::ip::tcp::socket& server, std::string first) {
  // From here on nothing is taken out any more: half a frame may be on its way to the server.
  handing_over_ = true;
  // The last pong. A client that doesn't take it has a place at the server all the same.
  if (writing_) active_.begin_write_phase(thread_.core.relay_limits.write);
  while (writing_) co_await sleep_until_rung(main_bell_);
  if (active_.aborted()) co_return false;
  active_.begin_phase(thread_.core.relay_limits.write);
  for (std::string next = std::move(first) + held_.take(); !next.empty(); next = held_.take()) {
    auto [error, written] = co_await asio::async_write(server, asio::buffer(next), kTuple);
    if (error) co_return false;
  }
  connection_.bodies().give_back(std::exchange(charged_, 0));
  server_ = &server;
  pump_bell_.cancel();
  note_traffic(Side::kClient);
  co_return !active_.aborted();
}

Awaitable<> WebSocketClient::stop() {
  stopping_ = true;
  hang_up_.reset();
  boost::system::error_code ignored;
  if (server_ != nullptr) server_->close(ignored);
  if (reading_) connection_.stream().socket().cancel(ignored);
  pump_bell_.cancel();
  active_.end_phase();
  const auto until = ActiveRequest::Clock::now() + kCloseWait;
  while (running_) {
    main_bell_.expires_after(kCancelAgain);
    co_await main_bell_.async_wait(kTuple);
    if (!running_) break;
    if (reading_) connection_.stream().socket().cancel(ignored);
    if (ActiveRequest::Clock::now() < until) continue;
    intact_ = false;  // a pong that the client doesn't take
    connection_.stream().socket().close(ignored);
  }
  if (failure_) std::rethrow_exception(failure_);
}

void WebSocketClient::note_traffic(Side from) {
  if (from == Side::kServer) silence_ = thread_.core.relay_limits.websocket_idle;
  if (closing_) return;
  until_ = ActiveRequest::Clock::now() + silence_;
  resume_phase();
}

void WebSocketClient::resume_phase() {
  // A client that doesn't read what it is sent gains nothing by sending.
  if (!writing_) active_.begin_phase(until_ - ActiveRequest::Clock::now());
}

void WebSocketClient::begin_closing() {
  if (std::exchange(closing_, true)) return;
  until_ = ActiveRequest::Clock::now() + kCloseWait;
  resume_phase();
}

}  // namespace cppworker
