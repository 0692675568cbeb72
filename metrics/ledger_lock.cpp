#include "metrics/ledger_lock.hpp"

#include <errno.h>
#include <time.h>

#ifdef __SANITIZE_THREAD__
#include <sanitizer/tsan_interface.h>
#endif

#include <cstring>

#include "metrics/ledger_layout.hpp"
#include "metrics/ledger_transaction.hpp"

namespace cppworker {
namespace {

pthread_mutex_t* mutex_in(LedgerWords words) {
  return reinterpret_cast<pthread_mutex_t*>(words.address(ledger_layout::kMutex));
}

// By the monotonic clock, which nobody sets. GCC 12's thread sanitizer doesn't know pthread_mutex_clocklock
// (nor that a timed lock may end with EOWNERDEAD), and would take each unlock after it for a mistake: it is
// told.
int lock_until(pthread_mutex_t* mutex, const timespec& until) {
#ifdef __SANITIZE_THREAD__
  __tsan_mutex_pre_lock(mutex, __tsan_mutex_try_lock);
#endif
  int error = ::pthread_mutex_clocklock(mutex, CLOCK_MONOTONIC, &until);
#ifdef __SANITIZE_THREAD__
  bool held = error == 0 || error == EOWNERDEAD;
  __tsan_mutex_post_lock(mutex, __tsan_mutex_try_lock | (held ? 0 : __tsan_mutex_try_lock_failed), 0);
#endif
  return error;
}

timespec after(std::chrono::milliseconds bound) {
  constexpr long kSecond = 1'000'000'000;
  timespec until{};
  ::clock_gettime(CLOCK_MONOTONIC, &until);
  until.tv_sec += bound.count() / 1000;
  until.tv_nsec += bound.count() % 1000 * 1'000'000;
  if (until.tv_nsec >= kSecond) {
    until.tv_sec += 1;
    until.tv_nsec -= kSecond;
  }
  return until;
}

}  // namespace

LedgerLock::LedgerLock(LedgerWords words, std::chrono::milliseconds bound) {
  pthread_mutex_t* mutex = mutex_in(words);
  // Nearly always free: the clock is read only when it isn't.
  int error = ::pthread_mutex_trylock(mutex);
  if (error == EBUSY) error = lock_until(mutex, after(bound));
  if (error == EOWNERDEAD) {
    redo_journal(words);
    error = ::pthread_mutex_consistent(mutex);
  }
  if (error == 0) mutex_ = mutex;
}

LedgerLock::~LedgerLock() {
  if (mutex_) ::pthread_mutex_unlock(mutex_);
}

void make_ledger_mutex(LedgerWords words) {
  pthread_mutex_t* mutex = mutex_in(words);
  std::memset(static_cast<void*>(mutex), 0, sizeof(*mutex));
  pthread_mutexattr_t attributes;
  ::pthread_mutexattr_init(&attributes);
  ::pthread_mutexattr_setpshared(&attributes, PTHREAD_PROCESS_SHARED);
  ::pthread_mutexattr_setrobust(&attributes, PTHREAD_MUTEX_ROBUST);
  ::pthread_mutex_init(mutex, &attributes);
  ::pthread_mutexattr_destroy(&attributes);
}

}  // namespace cppworker
