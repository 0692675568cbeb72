// A child's lines in our own log, tagged with its name: for platforms that collect only the entrypoint's
// output. Capped, so that a server that prints without end doesn't drown what we say; the file in the run
// directory has every line.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace cppworker {

class ChildLines {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // As many in a row as a traceback with its context has; then so many a second as a person can't read
  // either.
  static constexpr double kBurst = 500;
  static constexpr double kPerSecond = 100;

  explicit ChildLines(std::function<void(std::string_view)> write) : write_(std::move(write)) {}

  void add(std::string_view line, TimePoint now) {
    refill(now);
    if (tokens_ < 1) {
      ++suppressed_;
      return;
    }
    --tokens_;
    write_(line);
  }

  // Now and then: says how many were left out.
  void tick(TimePoint now) {
    refill(now);
    if (suppressed_ == 0 || tokens_ < 1) return;
    write_(std::to_string(suppressed_) + " lines suppressed");
    suppressed_ = 0;
  }

 private:
  void refill(TimePoint now) {
    tokens_ =
        std::min(kBurst, tokens_ + kPerSecond * std::chrono::duration<double>(now - filled_at_).count());
    filled_at_ = now;
  }

  std::function<void(std::string_view)> write_;
  double tokens_ = kBurst;
  TimePoint filled_at_{};
  std::uint64_t suppressed_ = 0;
};

}  // namespace cppworker
