// The request that a connection works on now, as seen by those who may have to end it: the watch on the
// client's leaving, and the deadline.
//
// Threads: the connection's own.
#pragma once

#include <memory>
#include <boost/asio/ip/tcp.hpp>

#include "proxy/admission.hpp"
#include "proxy/deadline_ticker.hpp"

namespace cppworker {

enum class AbortCause { kNone, kClientGone, kTimedOut };

class ActiveRequest {
 public:
  explicit ActiveRequest(Deadlined& deadline) : deadline_(deadline) {}

  // The phase that begins may take `limit`.
  void begin_phase(Deadlined::Clock::duration limit) { deadline_.set_deadline(limit); }
  void end_phase() { deadline_.clear_deadline(); }

  void set_upstream(asio::ip::tcp::socket* socket) { upstream_ = socket; }
  void set_waiter(Admission* admission, std::shared_ptr<Admission::Waiter> waiter) {
    admission_ = admission;
    waiter_ = std::move(waiter);
  }

  // Ends whatever the request waits for: its place in the queue, or the connection to the inference server,
  // which is closed at once so that the server stops computing for nobody. Only the first cause counts.
  void abort(AbortCause cause) {
    if (cause_ == AbortCause::kNone) cause_ = cause;
    if (waiter_) admission_->give_up(waiter_);
    boost::system::error_code ignored;
    if (upstream_ != nullptr) upstream_->close(ignored);
  }
  AbortCause cause() const { return cause_; }

  void reset() {
    cause_ = AbortCause::kNone;
    upstream_ = nullptr;
    admission_ = nullptr;
    waiter_.reset();
    deadline_.clear_deadline();
  }

 private:
  Deadlined& deadline_;
  AbortCause cause_ = AbortCause::kNone;
  asio::ip::tcp::socket* upstream_ = nullptr;
  Admission* admission_ = nullptr;
  std::shared_ptr<Admission::Waiter> waiter_;
};

}  // namespace cppworker
