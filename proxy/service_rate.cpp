#include "proxy/service_rate.hpp"

#include <algorithm>
#include <cmath>

namespace cppworker {

double ServiceRate::per_second() const {
  double measured = finished_ >= kEnough && busy_ > 0 ? done_ / busy_ : 0;
  if (saturated_) return measured > 0 ? measured : declared_;
  return std::max(measured, declared_);
}

double ServiceRate::left(Clock::time_point now) const {
  double seconds = std::chrono::duration<double>(now - at_).count();
  return std::max(left_ - per_second() * std::max(seconds, 0.0), static_cast<double>(queued_));
}

void ServiceRate::advance(Clock::time_point now) {
  left_ = left(now);
  double seconds = std::max(std::chrono::duration<double>(now - at_).count(), 0.0);
  if (running_ > 0 && seconds > 0) {
    double kept = std::exp(-seconds / std::chrono::duration<double>(kMemory).count());
    done_ *= kept;
    busy_ = busy_ * kept + seconds;
  }
  at_ = std::max(at_, now);
}

void ServiceRate::arrive(Clock::time_point now, std::int64_t work) {
  advance(now);
  ++requests_;
  total_ += work;
  queued_ += work;
  left_ += static_cast<double>(work);
}

void ServiceRate::begin(Clock::time_point now, std::int64_t work) {
  advance(now);
  ++running_;
  queued_ -= work;
}

void ServiceRate::end(Clock::time_point now, std::int64_t work, bool served) {
  advance(now);
  --running_;
  --requests_;
  total_ -= work;
  left_ = std::min(left_, static_cast<double>(total_));
  if (!served) return;
  done_ += static_cast<double>(work);
  finished_ = std::min(finished_ + 1, kEnough);
}

void ServiceRate::give_up(Clock::time_point now, std::int64_t work) {
  advance(now);
  --requests_;
  total_ -= work;
  queued_ -= work;
  left_ = std::max(left_ - static_cast<double>(work), 0.0);
}

std::chrono::duration<double> ServiceRate::backlog(Clock::time_point now) const {
  double rate = per_second();
  return std::chrono::duration<double>(rate > 0 ? left(now) / rate : 0);
}

}  // namespace cppworker
