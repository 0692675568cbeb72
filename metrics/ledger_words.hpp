// The ledger's mapped words, reached only through atomics: several processes look at them at once, and the
// compiler and the thread sanitizer must both know.
//
// Relaxed by default: the lock orders what is transactional, and counters need no order. A view: doesn't own
// the mapping.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

namespace cppworker {

class LedgerWords {
 public:
  explicit LedgerWords(std::uint64_t* base) : base_(base) {}

  std::uint64_t load(std::size_t word) const { return at(word).load(std::memory_order_relaxed); }
  void store(std::size_t word, std::uint64_t value) { at(word).store(value, std::memory_order_relaxed); }
  void store_release(std::size_t word, std::uint64_t value) {
    at(word).store(value, std::memory_order_release);
  }
  // Makes a word that is 0 `mine`. True where it is `mine` now, or was already.
  bool claim(std::size_t word, std::uint64_t mine) {
    std::uint64_t found = 0;
    return at(word).compare_exchange_strong(found, mine, std::memory_order_relaxed) || found == mine;
  }
  void add(std::size_t word, std::uint64_t n) { at(word).fetch_add(n, std::memory_order_relaxed); }

  std::uint64_t* address(std::size_t word) const { return base_ + word; }

 private:
  std::atomic_ref<std::uint64_t> at(std::size_t word) const {
    return std::atomic_ref<std::uint64_t>(base_[word]);
  }

  std::uint64_t* base_;
};
static_assert(std::atomic_ref<std::uint64_t>::is_always_lock_free,
              "a lock inside one process guards nothing");

}  // namespace cppworker
