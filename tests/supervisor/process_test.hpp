// Fixture of tests that start processes: each leaves none behind, so that they also pass one after the other
// in one program.
#pragma once

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>

#include "supervisor/process_table.hpp"

namespace cppworker {

// As long as it lives, this program can't open anything.
class NoDescriptors {
 public:
  NoDescriptors() {
    ::getrlimit(RLIMIT_NOFILE, &before_);
    const rlimit none{0, before_.rlim_max};
    ::setrlimit(RLIMIT_NOFILE, &none);
  }
  ~NoDescriptors() { ::setrlimit(RLIMIT_NOFILE, &before_); }
  NoDescriptors(const NoDescriptors&) = delete;
  NoDescriptors& operator=(const NoDescriptors&) = delete;

 private:
  rlimit before_{};
};

class ProcessTest : public testing::Test {
 protected:
  // Runs after the members of the derived fixture, the loop among them, are gone.
  ~ProcessTest() override {
    // Ending one may bring its children to us, as long as we adopt.
    do {
      for (const ProcessInfo& process : list_processes().value())
        if (process.parent == ::getpid()) signal_process(process, SIGKILL);
    } while (::waitpid(-1, nullptr, 0) > 0 || errno != ECHILD);
    ::prctl(PR_SET_CHILD_SUBREAPER, 0);
  }
};

}  // namespace cppworker
