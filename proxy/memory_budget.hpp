// What all buffered request bodies of the proxy may take together. Without it, a few hundred clients that
// each send the largest body allowed would take the machine's memory, which belongs to the model. A budget
// may be a share of another one (one client's of all): what is taken of it is taken of both, or of neither.
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstdint>

namespace cppworker {

class MemoryBudget {
 public:
  // `whole` outlives its shares; their limits together may be more than its own.
  explicit MemoryBudget(std::uint64_t bytes, MemoryBudget* whole = nullptr) : limit_(bytes), whole_(whole) {}

  // False, and nothing taken, when that much isn't left.
  bool take(std::uint64_t bytes) {
    std::uint64_t used = used_.load(std::memory_order_relaxed);
    do {
      if (bytes > limit_ - used) return false;
    } while (!used_.compare_exchange_weak(used, used + bytes, std::memory_order_relaxed));
    if (whole_ == nullptr || whole_->take(bytes)) return true;
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    return false;
  }
  void give_back(std::uint64_t bytes) {
    used_.fetch_sub(bytes, std::memory_order_relaxed);
    if (whole_ != nullptr) whole_->give_back(bytes);
  }

  std::uint64_t used() const { return used_.load(std::memory_order_relaxed); }
  std::uint64_t limit() const { return limit_; }

 private:
  const std::uint64_t limit_;
  MemoryBudget* const whole_;
  std::atomic<std::uint64_t> used_{0};
};

}  // namespace cppworker
