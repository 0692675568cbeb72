#include "proxy/body_buffer.hpp"

#include <algorithm>
#include <cstdlib>

namespace cppworker {

bool BodyBuffer::make_room(MemoryBudget& budget, std::uint64_t at_most) {
  if (size_ < capacity_) return true;
  std::uint64_t wanted = std::max<std::uint64_t>(kUncharged, std::uint64_t{capacity_} * 2);
  std::uint64_t grown = std::min<std::uint64_t>(wanted, size_ + std::max<std::uint64_t>(at_most, 1));
  std::uint64_t more = charge(grown) - charge(capacity_);
  if (!budget.take(more)) return false;
  char* moved = static_cast<char*>(std::realloc(data_, grown));
  if (moved == nullptr) {
    budget.give_back(more);
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
  budget_->give_back(charge(capacity_));
  data_ = nullptr;
  size_ = capacity_ = 0;
}

}  // namespace cppworker
