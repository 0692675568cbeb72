// A service's life for tests of its state machine: plays events one after the other, with a clock.
#pragma once

#include <gtest/gtest.h>

#include <string>

#include "supervisor/service_state.hpp"

namespace cppworker {

inline constexpr TimePoint kStart = TimePoint() + std::chrono::hours(1000);

inline std::string actions_of(const ServiceStep& step) {
  std::string text;
  for (const ServiceAction& action : step.actions)
    text += (text.empty() ? "" : " ") + std::string(name_of(action.kind));
  return text;
}

class Life {
 public:
  explicit Life(ServicePolicy policy = {}) : policy_(policy) {}

  Life& on(ServiceEventKind kind, double jitter = 0) {
    last_ = step(state_, {.kind = kind, .generation = state_.generation, .jitter = jitter}, now_, policy_);
    state_ = last_.state;
    return *this;
  }
  Life& after(std::chrono::milliseconds time) {
    now_ += time;
    return *this;
  }
  // A run that ends without ever being ready, and one that is ready for so long; each until the next launch.
  std::chrono::milliseconds fail_before_ready() {
    on(ServiceEventKind::kSpawned).on(ServiceEventKind::kExited).on(ServiceEventKind::kTreeEmpty);
    return wait_out();
  }
  std::chrono::milliseconds fail_after_ready(std::chrono::milliseconds ready_for) {
    on(ServiceEventKind::kSpawned)
        .on(ServiceEventKind::kSeenReady)
        .after(ready_for)
        .on(ServiceEventKind::kExited)
        .on(ServiceEventKind::kTreeEmpty);
    return wait_out();
  }

  const ServiceState& state() const { return state_; }
  const ServiceStep& last() const { return last_; }

 private:
  std::chrono::milliseconds wait_out() {
    EXPECT_EQ(state_.phase, ServicePhase::kBackoff);
    const auto delay = last_.actions.back().after;
    after(delay).on(ServiceEventKind::kDeadline);
    return delay;
  }

  ServicePolicy policy_;
  ServiceState state_;
  ServiceStep last_;
  TimePoint now_ = kStart;
};

}  // namespace cppworker
