// A steady load of signed requests and streams, and what became of each.
#pragma once

#include <array>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "world.hpp"

namespace cppworker::chaos {

using Clock = std::chrono::steady_clock;

enum class Outcome {
  kServed,   // a whole, right answer
  kRefused,  // an error status with a JSON body that says why, and when to come again
  kCut,      // an answer that looks broken off
  kLost,     // the connection ended without a byte
  kUnclear,  // all else: a wrong answer that looks right, an error without words, no end at all
};
inline constexpr std::array kOutcomes = {Outcome::kServed, Outcome::kRefused, Outcome::kCut, Outcome::kLost,
                                         Outcome::kUnclear};
std::string_view name_of(Outcome outcome);

struct Result {
  Outcome outcome;
  int status = 0;  // 0: none came
  Clock::time_point began, ended;
  std::string detail;  // of an outcome that isn't kServed: the answer's beginning
};

// One request, with a fresh route. `prompt` may ask the stand-in for something (stand_ins/README.md).
struct Asking {
  bool stream = false;
  bool wrapped = true;
  bool url_only = false;
  std::string prompt = "Once upon a time";
};
Result ask(World& world, const Asking& asking);

class Load {
 public:
  // Begins at once, and goes on to stop() or its end.
  explicit Load(World& world);
  ~Load() { stop(); }
  void stop();

  std::uint64_t served() const { return counts_[0]; }
  std::uint64_t count(Outcome outcome) const { return counts_[static_cast<std::size_t>(outcome)]; }
  // Those that weren't served, in the order of their ends. After stop().
  const std::vector<Result>& unserved() const { return unserved_; }

 private:
  void run(unsigned client);

  World& world_;
  std::atomic<bool> over_ = false;
  std::array<std::atomic<std::uint64_t>, kOutcomes.size()> counts_{};
  std::mutex mutex_;
  std::vector<Result> unserved_;
  std::vector<std::thread> clients_;
};

}  // namespace cppworker::chaos
