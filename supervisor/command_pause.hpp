// When a health command may be started again whose start has held up the loop: from a file system that hangs
// it takes process_launcher.hpp's exec_limit, and nothing else goes on meanwhile. Asked every second, the
// supervisor would do hardly anything else.
//
// Pure.
#pragma once

#include <algorithm>
#include <chrono>

namespace cppworker {

class CommandPause {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;

  // A start takes milliseconds.
  static constexpr std::chrono::seconds kSlow{1};
  // After the first such failure, doubled with each that follows: the loop goes on for nine tenths of the
  // time at least, and a file system that is back is noticed soon enough.
  static constexpr std::chrono::seconds kFirst{60}, kLongest{600};

  bool holds(TimePoint now) const { return now < until_; }

  // A start was tried, which took that long.
  void tried(bool started, std::chrono::milliseconds took, TimePoint now) {
    if (started || took < kSlow) {
      next_ = kFirst;
      return;
    }
    until_ = now + next_;
    next_ = std::min(next_ * 2, kLongest);
  }

 private:
  TimePoint until_{};
  std::chrono::seconds next_ = kFirst;
};

}  // namespace cppworker
