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

// Telling the others may wait for the supervisor, and is done without the lock. A proxy that ends says
// nothing more: the supervisor tells them when it is gone.
template <class Work>
void Admission::change(Work work) {
  bool to_be_told;
  {
    std::lock_guard lock(mutex_);
    work();
    to_be_told = share_.take_to_be_told();
  }
  if (to_be_told && !closed_) share_.tell_others();
}

// False with a limit: it is in the queue then, as far as others know, or refused by who asked.
bool Admission::takes_at_once(Clock::time_point now) {
  if (limits_.concurrency == 0) return true;
  return queue_.empty() && inside_ < limits_.concurrency && share_.update(limits_.concurrency, inside_, now);
}

Admission::Reservation Admission::reserve(const WaiterPtr& waiter, Clock::time_point now) {
  Reservation reservation;
  change([&] { reservation = reserve_now(waiter, now); });
  return reservation;
}

Admission::Reservation Admission::reserve_now(const WaiterPtr& waiter, Clock::time_point now) {
  const Demand& demand = waiter->demand_;
  std::chrono::duration<double> backlog = rate_.backlog(now);
  bool in = takes_at_once(now);
  if (!in) {
    if (demand.longest_wait && backlog > *demand.longest_wait) {
      fill(now);  // whom the others may take to be waiting isn't
      return {Place::kTooLong, rounded(backlog - *demand.longest_wait)};
    }
    bool room = queue_.size() < limits_.queue_requests && demand.bytes <= limits_.queue_bytes - queued_bytes_;
    // A place becomes free with each request that ends.
    if (!room) {
      fill(now);  // as above
      return {Place::kFull,
              rounded(backlog / static_cast<double>(std::max<std::size_t>(rate_.outstanding(), 1)))};
    }
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
  waiter->since_ = now;
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
  change([&] {
    waiter->state_ = Waiter::State::kGone;
    rate_.end(now, waiter->demand_.work_milli, served);
    --inside_;
    fill(now);
  });
}

// The first of the queue go in, as long as there are places; what others know of us is true afterwards.
void Admission::fill(Clock::time_point now) {
  if (limits_.concurrency == 0) return;
  while (true) {
    std::optional<Clock::time_point> first;
    if (!queue_.empty() && inside_ < limits_.concurrency) first = queue_.front()->since_;
    if (!share_.update(limits_.concurrency, inside_, first)) return;
    WaiterPtr next = std::move(queue_.front());
    queue_.pop_front();
    ++inside_;
    queued_bytes_ -= next->demand_.bytes;
    rate_.begin(now, next->demand_.work_milli);
    next->state_ = Waiter::State::kIn;
    wake(next);
  }
}

void Admission::look_again(Clock::time_point now) {
  change([&] { fill(now); });
}

void Admission::give_up(const WaiterPtr& waiter, Clock::time_point now) {
  change([&] {
    if (waiter->state_ != Waiter::State::kQueued) return;
    waiter->state_ = Waiter::State::kGone;
    queue_.erase(std::find(queue_.begin(), queue_.end(), waiter));
    queued_bytes_ -= waiter->demand_.bytes;
    rate_.give_up(now, waiter->demand_.work_milli);
    fill(now);
    wake(waiter);
  });
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
