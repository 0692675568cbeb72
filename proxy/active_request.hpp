// The request that a connection works on now, as seen by those who may have to end it: the watch on the
// client's leaving, the deadline, and the end of its session.
//
// Threads: the connection's own.
#pragma once

#include <algorithm>
#include <memory>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/steady_timer.hpp>

#include "proxy/admission.hpp"
#include "proxy/coarse_clock.hpp"
#include "proxy/deadline_ticker.hpp"

namespace cppworker {

enum class AbortCause {
  kNone,
  kClientGone,
  kClientSlow,  // it is there, but doesn't take what it is sent: no failure of the worker's
  kTimedOut,
  kSessionEnded,
};

class ActiveRequest {
 public:
  using Clock = Deadlined::Clock;

  // `client`: its connection.
  ActiveRequest(Deadlined& deadline, asio::ip::tcp::socket& client) : deadline_(deadline), client_(client) {}

  // From here on the whole request may take `limit`, whatever its phases are allowed.
  void begin(Clock::duration limit) {
    begun_ = Clock::now();
    whole_until_ = begun_ + limit;
  }
  // Since then; none before.
  Clock::duration age() const {
    return whole_until_ == Clock::time_point::max() ? Clock::duration{0} : Clock::now() - begun_;
  }
  // The phase that begins may take `limit`.
  void begin_phase(Clock::duration limit) { begin_phase_until(coarse_now() + limit, AbortCause::kTimedOut); }
  // The same for a phase that lasts until the client has taken something.
  void begin_write_phase(Clock::duration limit) {
    begin_phase_until(coarse_now() + limit, AbortCause::kClientSlow);
  }
  void end_phase() { deadline_.clear_deadline(); }
  Clock::time_point whole_until() const { return whole_until_; }
  // What the end of the phase's time means.
  AbortCause late() const { return late_; }

  // What the request waits for at the moment; nullptr when it doesn't any more.
  void set_upstream(asio::ip::tcp::socket* socket) { upstream_ = socket; }
  void set_pause(asio::steady_timer* timer) { pause_ = timer; }
  void set_waiter(Admission* admission, std::shared_ptr<Admission::Waiter> waiter) {
    admission_ = admission;
    waiter_ = std::move(waiter);
  }

  // Ends whatever the request waits for: its place in the queue, a pause, the connection to the inference
  // server, which is closed at once so that the server stops computing for nobody, or the client, which may
  // be there and not read. Only the first cause counts. Comes again with the deadline, while the request is
  // still there: a cancellation between two steps of a write is lost.
  void abort(AbortCause cause) {
    constexpr std::chrono::seconds kAgain{1};
    if (cause_ == AbortCause::kNone) cause_ = cause;
    deadline_.set_deadline(kAgain);
    if (waiter_) admission_->give_up(waiter_);
    if (pause_ != nullptr) pause_->cancel();
    boost::system::error_code ignored;
    if (upstream_ != nullptr) upstream_->close(ignored);
    client_.cancel(ignored);
  }
  AbortCause cause() const { return cause_; }
  bool aborted() const { return cause_ != AbortCause::kNone; }

  void reset() {
    cause_ = AbortCause::kNone;
    whole_until_ = Clock::time_point::max();
    upstream_ = nullptr;
    pause_ = nullptr;
    admission_ = nullptr;
    waiter_.reset();
    deadline_.clear_deadline();
  }

 private:
  void begin_phase_until(Clock::time_point end, AbortCause late) {
    late_ = end < whole_until_ ? late : AbortCause::kTimedOut;
    deadline_.set_deadline_at(std::min(end, whole_until_));
  }

  Deadlined& deadline_;
  asio::ip::tcp::socket& client_;
  Clock::time_point begun_{};
  Clock::time_point whole_until_ = Clock::time_point::max();
  AbortCause cause_ = AbortCause::kNone, late_ = AbortCause::kTimedOut;
  asio::ip::tcp::socket* upstream_ = nullptr;
  asio::steady_timer* pause_ = nullptr;
  Admission* admission_ = nullptr;
  std::shared_ptr<Admission::Waiter> waiter_;
};

}  // namespace cppworker
