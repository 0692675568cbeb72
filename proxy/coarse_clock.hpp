// The monotonic clock as of the kernel's last tick, at most some milliseconds ago: a third of what the exact
// one costs, and a request looks at it a dozen times. For deadlines and ages, which are seconds; what is
// reported as a duration is measured exactly.
//
// Its times are those of std::chrono::steady_clock, a little late.
#pragma once

#include <time.h>

#include <chrono>

namespace cppworker {

inline std::chrono::steady_clock::time_point coarse_now() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC_COARSE, &now);
  return std::chrono::steady_clock::time_point(std::chrono::seconds(now.tv_sec) +
                                               std::chrono::nanoseconds(now.tv_nsec));
}

}  // namespace cppworker
