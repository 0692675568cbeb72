#include "proxy/admission.hpp"

#include <algorithm>
#include <cmath>
#include <boost/asio/post.hpp>

namespace cppworker {

void Admission::declare_rate(double per_second) {
  std::lock_guard lock(mutex_);
  rate_.declare(per_second);
}

std::chrono::seconds Admission::rounded(std::chrono::duration<double> wait) const {
  if (rate_.per_second() <= 0) return kRetryUnknown;
  double most = std::chrono::duration<double>(kLongestRetry).count();
  return std::chrono::seconds(static_cast<std::int64_t>(std::ceil(std::clamp(wait.count(), 1.0, most))));
}

Admission::Reservation Admission::reserve(const WaiterPtr& waiter, Clock::time_point now) {
  std::lock_guard lock(mutex_);
  const Demand& demand = waiter->demand_;
  std::chrono::duration<double> backlog = rate_.backlog(now);
  if (demand.longest_wait && backlog > *demand.longest_wait)
    return {Place::kTooLong, rounded(backlog - *demand.longest_wait)};
  bool in = limits_.concurrency == 0 || inside_ < limits_.concurrency;
  if (!in) {
    bool room = queue_.size() < limits_.queue_requests && demand.bytes <= limits_.queue_bytes - queued_bytes_;
    // A place becomes free with each request that ends.
    if (!room)
      return {Place::kFull,
              rounded(backlog / static_cast<double>(std::max<std::size_t>(rate_.outstanding(), 1)))};
  }
  if (!in) queue_.push_back(waiter);  // first: for want of memory it throws, and nothing has happened
  rate_.arrive(now, demand.work_milli);
  if (in) {
    ++inside_;
    rate_.begin(now, demand.work_milli);
    waiter->state_ = Waiter::State::kIn;
    return {Place::kIn};
  }
  queued_bytes_ += demand.bytes;
  waiter->state_ = Waiter::State::kQueued;
  return {Place::kQueued};
}

Awaitable<bool> Admission::wait(WaiterPtr waiter) {
  {
    std::lock_guard lock(mutex_);
    waiter->timer_.emplace(waiter->executor_);
  }
  while (true) {
    // Armed before the state is read: a wake-up that is posted in between cancels this very wait, since both
    // happen on this thread.
    waiter->timer_->expires_at(asio::steady_timer::time_point::max());
    {
      std::lock_guard lock(mutex_);
      if (waiter->state_ == Waiter::State::kIn) co_return true;
      if (waiter->state_ == Waiter::State::kGone) co_return false;
    }
    co_await waiter->timer_->async_wait(kTuple);
  }
}

void Admission::leave(const WaiterPtr& waiter, bool served, Clock::time_point now) {
  WaiterPtr next;
  {
    std::lock_guard lock(mutex_);
    waiter->state_ = Waiter::State::kGone;
    rate_.end(now, waiter->demand_.work_milli, served);
    if (queue_.empty()) {
      --inside_;
      return;
    }
    next = std::move(queue_.front());
    queue_.pop_front();
    queued_bytes_ -= next->demand_.bytes;
    rate_.begin(now, next->demand_.work_milli);
    next->state_ = Waiter::State::kIn;
  }
  wake(next);
}

void Admission::give_up(const WaiterPtr& waiter, Clock::time_point now) {
  {
    std::lock_guard lock(mutex_);
    if (waiter->state_ != Waiter::State::kQueued) return;
    waiter->state_ = Waiter::State::kGone;
    queue_.erase(std::find(queue_.begin(), queue_.end(), waiter));
    queued_bytes_ -= waiter->demand_.bytes;
    rate_.give_up(now, waiter->demand_.work_milli);
  }
  wake(waiter);
}

void Admission::abandon(const WaiterPtr& waiter, Clock::time_point now) {
  give_up(waiter, now);
  bool in;
  {
    std::lock_guard lock(mutex_);
    in = waiter->state_ == Waiter::State::kIn;
  }
  if (in) leave(waiter, false, now);
}

std::chrono::seconds Admission::expected_wait(Clock::time_point now) const {
  std::lock_guard lock(mutex_);
  return rounded(rate_.backlog(now));
}

void Admission::close() {
  closed_ = true;
}

void Admission::wake(const WaiterPtr& waiter) const {
  if (closed_) return;
  asio::post(waiter->executor_, [waiter] {
    if (waiter->timer_) waiter->timer_->cancel();
  });
}

std::size_t Admission::inside() const {
  std::lock_guard lock(mutex_);
  return inside_;
}

std::size_t Admission::queued() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

std::uint64_t Admission::queued_bytes() const {
  std::lock_guard lock(mutex_);
  return queued_bytes_;
}

}  // namespace cppworker
