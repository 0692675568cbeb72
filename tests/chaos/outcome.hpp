// What became of a request, as its client saw it, and the list of all that were sent.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cppworker::chaos {

using Clock = std::chrono::steady_clock;

enum class Outcome {
  kServed,   // a whole, right answer
  kLeft,     // the client went away before the end, as it had meant to
  kRefused,  // an error status with a JSON body that says why, and when to come again
  kCut,      // an answer that looks broken off
  kLost,     // the connection ended without a byte
  kUnclear,  // all else: a wrong answer that looks right, an error without words, no end at all
};
inline constexpr std::array kOutcomes = {Outcome::kServed, Outcome::kLeft, Outcome::kRefused,
                                         Outcome::kCut,    Outcome::kLost, Outcome::kUnclear};
std::string_view name_of(Outcome outcome);
// Neither served nor left.
inline bool is_failure(Outcome outcome) {
  return outcome != Outcome::kServed && outcome != Outcome::kLeft;
}

struct Result {
  Outcome outcome = Outcome::kUnclear;
  int status = 0;      // 0: none came
  bool begun = false;  // a byte of the answer came
  // What the autoscaler knows it by, where it does.
  std::optional<std::int64_t> request_idx;
  Clock::time_point began, ended;
  std::string detail;  // of a failure: the answer's beginning
};

// Any thread.
class SentRequests {
 public:
  void add(const Result& result) {
    const std::lock_guard lock(mutex_);
    all_.push_back(result);
  }
  std::vector<Result> all() const {
    const std::lock_guard lock(mutex_);
    return all_;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<Result> all_;
};

}  // namespace cppworker::chaos
