// Starts a thread that no signal of the process is delivered to: they are for the thread that expects them.
#pragma once

#include <signal.h>

#include <thread>
#include <utility>

namespace cppworker {

// Throws std::system_error where there can be none more.
template <class Run>
std::thread start_quiet_thread(Run run) {
  // A thread has the mask of who starts it, from its first moment.
  struct Blocked {
    Blocked() {
      sigset_t all;
      ::sigfillset(&all);
      ::pthread_sigmask(SIG_SETMASK, &all, &before);
    }
    ~Blocked() { ::pthread_sigmask(SIG_SETMASK, &before, nullptr); }
    sigset_t before;
  };
  const Blocked blocked;
  return std::thread(std::move(run));
}

}  // namespace cppworker
