// One more in a count of what is open now, for as long as this lives: however its owner ends, it is taken off
// again.
//
// Threads: any; the count is shared, this belongs to one.
#pragma once

#include <atomic>
#include <cstdint>
#include <utility>

namespace cppworker {

class Counted {
 public:
  Counted() = default;
  explicit Counted(std::atomic<std::int64_t>& count) : count_(&count) { count.fetch_add(1); }
  Counted(Counted&& other) noexcept : count_(std::exchange(other.count_, nullptr)) {}
  Counted& operator=(Counted&& other) noexcept {
    std::swap(count_, other.count_);
    return *this;
  }
  ~Counted() {
    if (count_ != nullptr) count_->fetch_sub(1);
  }

 private:
  std::atomic<std::int64_t>* count_ = nullptr;  // nullptr: counts nothing
};

}  // namespace cppworker
