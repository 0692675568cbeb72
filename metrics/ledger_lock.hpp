// Holds the ledger's lock while it lives, and repairs what a dead holder left.
//
// The mutex is shared between processes and robust: when its holder dies, the kernel hands it on with
// EOWNERDEAD, and the journal is applied before anyone looks at the books. Waiting is bounded, because a
// holder may also be stopped (SIGSTOP, a debugger, a frozen cgroup), and nobody's event loop may stop with
// it.
#pragma once

#include <pthread.h>

#include <chrono>
#include <utility>

#include "metrics/ledger_words.hpp"

namespace cppworker {

class LedgerLock {
 public:
  // False afterwards when the lock couldn't be had within `bound`.
  LedgerLock(LedgerWords words, std::chrono::milliseconds bound);
  LedgerLock(LedgerLock&& other) noexcept : mutex_(std::exchange(other.mutex_, nullptr)) {}
  LedgerLock& operator=(LedgerLock&&) = delete;
  ~LedgerLock();

  explicit operator bool() const { return mutex_ != nullptr; }

 private:
  pthread_mutex_t* mutex_ = nullptr;
};

// Makes the mutex new. Only for a process that is alone with the file.
void make_ledger_mutex(LedgerWords words);

}  // namespace cppworker
