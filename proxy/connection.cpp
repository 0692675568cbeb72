#include "proxy/connection.hpp"

#include <sys/socket.h>

#include <algorithm>
#include <array>
#include <boost/asio/ssl/error.hpp>
#include <boost/asio/write.hpp>

namespace cppworker {
namespace {

using boost::system::error_code;

// A refused client may go on sending for a while, before its connection is closed under it: common ones send
// the whole body before they read an answer. As long as its bytes come, as nginx has it (lingering_time), and
// for twice the largest body that is allowed.
constexpr std::chrono::seconds kLingerSilence{2};
constexpr std::chrono::seconds kLongestLinger{30};
constexpr std::size_t kMostDiscarded = 128 << 20;
constexpr std::size_t kDiscardStep = 64 * 1024;

// A cancellation that comes between two steps of a TLS operation is lost: it is repeated until it is heeded.
constexpr std::chrono::milliseconds kCancelAgain{50};
constexpr std::chrono::seconds kDeadlineAgain{1};

// Reads what nobody wants to have; answers as recv does.
ssize_t discard_some(int socket) {
  thread_local std::array<char, kDiscardStep> discarded;
  return ::recv(socket, discarded.data(), discarded.size(), MSG_DONTWAIT);
}

}  // namespace

Connection::Connection(asio::ip::tcp::socket socket, TlsContext tls, const ConnectionLimits& limits,
                       ClientShares::Place client, DeadlineTicker& ticker)
    : stream_(std::move(socket), std::move(tls)),
      limits_(limits),
      client_(std::move(client)),
      active_(*this, stream_.socket()) {
  ticker.watch(*this);
}

Awaitable<bool> Connection::handshake() {
  reading_ = Reading::kHandshake;
  set_deadline(limits_.handshake);
  error_code error = co_await stream_.handshake();
  clear_deadline();
  reading_ = Reading::kNothing;
  if (!error && !timed_out_) co_return true;
  // What isn't TLS, or no version of ours: the alert that says so is to be read before the end.
  if (error.category() == asio::error::get_ssl_category()) co_await close_lingering();
  co_return false;
}

// Without TLS: bytes, or the end, call whoever is interested then. Asked for once until they come, however
// many requests begin and end meanwhile: asking costs a system call, and so does taking it back.
void Connection::ask_for_bytes() {
  if (for_bytes_ != nullptr) return;
  auto place = std::make_unique<ParkingPlace>();
  for_bytes_ = place.get();
  // The operation owns the place, and so the coroutine in it: it goes when the io_context does.
  stream_.socket().async_wait(
      asio::ip::tcp::socket::wait_read,
      [self = shared_from_this(), place = std::move(place)](const error_code& error) mutable {
        self->for_bytes_ = nullptr;
        if (place->taken()) return place->wake(error);
        if (self->watching_ && !error) self->on_readable();
      });
}

void Connection::watch_client() {
  watching_ = true;
  if (stream_.is_tls())
    watch_by_reading();
  else
    ask_for_bytes();
}

void Connection::on_readable() {
  char byte;
  ssize_t n = ::recv(stream_.socket().native_handle(), &byte, 1, MSG_PEEK | MSG_DONTWAIT);
  if (n < 0 && (errno == EAGAIN || errno == EINTR)) return watch_client();
  if (n <= 0) return on_client_gone();
  // The next request, sent ahead. It is taken in, so that the end behind it can be seen.
  if (buffer_.size() >= kMostReadAhead) return watch_for_hang_up();
  error_code error;
  std::size_t read = stream_.socket().read_some(buffer_.prepare(kMostReadAhead - buffer_.size()), error);
  buffer_.commit(read);
  if (!error) watch_client();
}

// More is here than is taken in, so that the end behind it can't be read; the kernel knows of it.
void Connection::watch_for_hang_up() {
  // Where descriptors ran out, this client's leaving is noticed by writing to it.
  hang_up_.emplace(stream_.get_executor(), stream_.socket().native_handle(), std::chrono::milliseconds(0),
                   [this] {
                     if (watching_) on_client_gone();
                   });
}

// Under TLS, readable bytes may be the notice of the end: only reading tells.
void Connection::watch_by_reading() {
  if (buffer_.size() >= kMostReadAhead) return watch_for_hang_up();
  asio::mutable_buffer space = buffer_.prepare(std::min(kReadStep, kMostReadAhead - buffer_.size()));
  watch_reads_ = true;
  stream_.async_read_some(space, [self = shared_from_this()](const error_code& error, std::size_t read) {
    self->watch_reads_ = false;
    self->buffer_.commit(read);
    if (self->watch_ended_) self->watch_ended_->cancel();
    if (!self->watching_) return;
    if (!error) return self->watch_by_reading();
    self->on_client_gone();
  });
}

void Connection::on_client_gone() {
  watching_ = false;
  active_.abort(AbortCause::kClientGone);
}

Awaitable<> Connection::stop_watching() {
  error_code ignored;
  if (watching_ && stream_.is_tls()) stream_.socket().cancel(ignored);
  watching_ = false;
  hang_up_.reset();
  while (watch_reads_) {
    if (!watch_ended_) watch_ended_.emplace(stream_.get_executor());
    watch_ended_->expires_after(kCancelAgain);
    co_await watch_ended_->async_wait(kTuple);
    if (watch_reads_) stream_.socket().cancel(ignored);
  }
}

Awaitable<bool> Connection::write(std::string_view text) {
  auto [error, written] = co_await asio::async_write(stream_, asio::buffer(text.data(), text.size()), kTuple);
  co_return !error;
}

void Connection::release_body() {
  body_.clear();
}

void Connection::finish_request() {
  active_.reset();
  head_.reset();
  chunk_parser_.reset();
  body_unread_ = false;
  body_.clear();
  if (buffer_.size() == 0) buffer_.shrink_to_fit();
}

// Without a word, which its client could take its time to read.
bool Connection::give_way() {
  const bool is_served = head_ && reading_ == Reading::kNothing && !awaits_first_message_;
  if (keeps_place_ || is_served || !stream_.socket().is_open()) return false;
  timed_out_ = true;
  if (awaits_first_message_) active_.abort(AbortCause::kTimedOut);
  close();
  return true;
}

void Connection::on_deadline() {
  error_code ignored;
  if (reading_ == Reading::kHandshake) {
    // Nothing to answer; and its many steps are ended for good by this alone.
    timed_out_ = true;
    close();
  } else if (reading_ == Reading::kBody && !timed_out_ && pace_ && pace_->keeps_up(body_.size())) {
    begin_body_window();
  } else if (reading_ != Reading::kNothing) {
    // The read ends; the coroutine answers 408, or closes.
    timed_out_ = true;
    stream_.socket().cancel(ignored);
    set_deadline(kDeadlineAgain);
  } else if (head_) {
    active_.abort(active_.late());
  } else {
    close();  // idle for too long
  }
}

Awaitable<> Connection::close_lingering() {
  reading_ = Reading::kLingering;
  timed_out_ = false;  // that it was too slow with its request is what it is to read
  auto until = Clock::now() + kLongestLinger;
  set_deadline(kLingerSilence);
  co_await stream_.shut_down_writing();
  for (std::size_t total = 0; total < kMostDiscarded && !timed_out_;) {
    auto [error] = co_await stream_.socket().async_wait(asio::ip::tcp::socket::wait_read, kTuple);
    if (error) break;
    ssize_t n = discard_some(stream_.socket().native_handle());
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) break;
    total += n > 0 ? static_cast<std::size_t>(n) : 0;
    set_deadline_at(std::min(Clock::now() + kLingerSilence, until));
  }
  close();
}

void Connection::close_broken() {
  error_code ignored;
  stream_.socket().set_option(asio::socket_base::linger(true, 0), ignored);
  stream_.socket().close(ignored);
}

void Connection::close() {
  error_code ignored;
  hang_up_.reset();
  stream_.socket().shutdown(asio::ip::tcp::socket::shutdown_both, ignored);
  stream_.socket().close(ignored);
}

}  // namespace cppworker
