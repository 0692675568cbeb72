// A request's body while it is with the proxy: one contiguous block that grows as bytes arrive, charged to
// the budget of all bodies.
//
// Its first kUncharged bytes aren't charged: nearly every text request fits in them, and whoever fills the
// budget with large bodies doesn't keep those out. They are bounded all the same, by the number of
// connections, each of which has one body (max_connections: 10 000 of them hold 160 MiB, and 80 MiB of what
// stands around chunks).
//
// It grows by what has come, not by what was announced: a client that announces 64 MiB and sends nothing
// costs nothing. Large blocks are grown by the kernel moving pages (mremap under realloc), so that the peak
// stays near the body's size, and are given back to the system when they are freed; see
// kLargeBlock.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

#include "proxy/memory_budget.hpp"

namespace cppworker {

// For give_large_blocks_back(). Smaller ones are worth keeping, since pages that are new to the process cost
// more than all else that is done with a body.
inline constexpr int kLargeBlock = 4 << 20;

class BodyBuffer {
 public:
  // The first step takes nearly every text request whole; from there on it doubles.
  static constexpr std::size_t kUncharged = 16 * 1024;

  BodyBuffer() = default;
  ~BodyBuffer() { clear(); }
  BodyBuffer(const BodyBuffer&) = delete;
  BodyBuffer& operator=(const BodyBuffer&) = delete;

  // Makes room for at least one more byte, and for no more than `at_most` (the rest of the body, where that
  // is known). False when the budget, or the machine, has no memory left: what is here stays.
  bool make_room(MemoryBudget& budget, std::uint64_t at_most);

  char* free_begin() { return data_ + size_; }
  std::size_t free_size() const { return capacity_ - size_; }
  void commit(std::size_t bytes) { size_ += bytes; }

  std::string_view text() const { return {data_, size_}; }
  std::size_t size() const { return size_; }

  // Frees the memory and gives the budget its share back.
  void clear();

 private:
  static std::uint64_t charge(std::uint64_t capacity) {
    return capacity > kUncharged ? capacity - kUncharged : 0;
  }

  char* data_ = nullptr;
  std::size_t size_ = 0, capacity_ = 0;
  MemoryBudget* budget_ = nullptr;
};

}  // namespace cppworker
