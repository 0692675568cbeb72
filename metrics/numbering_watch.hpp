// Notices that the autoscaler counts its requests from the beginning again: each of them is then refused as
// too old for as long as its numbers are below the replay window, and nobody would know why.
//
// The window can't tell that from old requests that somebody sends again, so it stays as it is (protocol
// section 2), and the operator is told what to do. Only requests with a good signature come here.
//
// Threads: any.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>

namespace cppworker {

class NumberingWatch {
 public:
  using Time = std::chrono::steady_clock::time_point;

  // So many in a row, with none accepted in between: single ones were merely long on their way.
  static constexpr int kSuspicious = 5;
  // Between two warnings: the second says nothing that the first didn't.
  static constexpr std::chrono::minutes kPause{10};

  void accepted() {
    if (in_a_row_.load(std::memory_order_relaxed) != 0) in_a_row_.store(0, std::memory_order_relaxed);
  }

  // A request was refused as too old. What is to be logged now, if anything.
  std::optional<std::string> too_old(std::uint64_t reqnum, std::uint64_t highest, Time now);

 private:
  std::atomic<int> in_a_row_{0};
  std::mutex mutex_;
  std::optional<Time> warned_;
};

}  // namespace cppworker
