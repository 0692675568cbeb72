#include "proxy/body_buffer.hpp"

#include <algorithm>
#include <cstdlib>

namespace cppworker {
namespace {

// The first step takes nearly every text request whole; from there on it doubles.
constexpr std::size_t kFirstCapacity = 16 * 1024;

}  // namespace

bool BodyBuffer::make_room(MemoryBudget& budget, std::uint64_t at_most) {
  if (size_ < capacity_) return true;
  std::uint64_t wanted = std::max<std::uint64_t>(kFirstCapacity, std::uint64_t{capacity_} * 2);
  std::uint64_t grown = std::min<std::uint64_t>(wanted, size_ + std::max<std::uint64_t>(at_most, 1));
  if (!budget.take(grown - capacity_)) return false;
  char* moved = static_cast<char*>(std::realloc(data_, grown));
  if (moved == nullptr) {
    budget.give_back(grown - capacity_);
    return false;
  }
  data_ = moved;
  capacity_ = grown;
  budget_ = &budget;
  return true;
}

void BodyBuffer::clear() {
  if (data_ == nullptr) return;
  std::free(data_);
  budget_->give_back(capacity_);
  data_ = nullptr;
  size_ = capacity_ = 0;
}

}  // namespace cppworker
