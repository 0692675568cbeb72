#include "proxy/admission.hpp"

#include <algorithm>
#include <boost/asio/post.hpp>

namespace cppworker {

Admission::Place Admission::reserve(const std::shared_ptr<Waiter>& waiter) {
  std::lock_guard lock(mutex_);
  if (limit_ == 0 || inside_ < limit_) {
    ++inside_;
    waiter->state_ = Waiter::State::kIn;
    return Place::kIn;
  }
  if (queue_.size() >= longest_queue_) return Place::kFull;
  waiter->state_ = Waiter::State::kQueued;
  queue_.push_back(waiter);
  return Place::kQueued;
}

Awaitable<bool> Admission::wait(std::shared_ptr<Waiter> waiter) {
  while (true) {
    // Armed before the state is read: a wake-up that is posted in between cancels this very wait, since both
    // happen on this thread.
    waiter->timer_.expires_at(asio::steady_timer::time_point::max());
    {
      std::lock_guard lock(mutex_);
      if (waiter->state_ == Waiter::State::kIn) co_return true;
      if (waiter->state_ == Waiter::State::kGivenUp) co_return false;
    }
    co_await waiter->timer_.async_wait(kTuple);
  }
}

void Admission::leave() {
  std::shared_ptr<Waiter> next;
  {
    std::lock_guard lock(mutex_);
    if (queue_.empty()) {
      --inside_;
      return;
    }
    next = std::move(queue_.front());
    queue_.pop_front();
    next->state_ = Waiter::State::kIn;
  }
  wake(next);
}

void Admission::give_up(const std::shared_ptr<Waiter>& waiter) {
  {
    std::lock_guard lock(mutex_);
    if (waiter->state_ != Waiter::State::kQueued) return;
    waiter->state_ = Waiter::State::kGivenUp;
    queue_.erase(std::find(queue_.begin(), queue_.end(), waiter));
  }
  wake(waiter);
}

void Admission::abandon(const std::shared_ptr<Waiter>& waiter) {
  give_up(waiter);
  bool in;
  {
    std::lock_guard lock(mutex_);
    in = waiter->state_ == Waiter::State::kIn;
  }
  if (in) leave();
}

void Admission::wake(const std::shared_ptr<Waiter>& waiter) {
  asio::post(waiter->timer_.get_executor(), [waiter] { waiter->timer_.cancel(); });
}

std::size_t Admission::inside() const {
  std::lock_guard lock(mutex_);
  return inside_;
}

std::size_t Admission::queued() const {
  std::lock_guard lock(mutex_);
  return queue_.size();
}

}  // namespace cppworker
