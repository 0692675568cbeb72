// A real program started by a test, with its output captured line by line.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "common/unique_fd.hpp"

namespace cppworker::testing {

// Generous: it only ends a test that would hang. The sanitizer builds on two busy cores need some of it.
inline constexpr std::chrono::seconds kPatience{30};

// What other processes do can only be looked at. False when patience ends.
template <class Predicate>
bool eventually(Predicate reached, std::chrono::seconds patience = kPatience) {
  const auto until = std::chrono::steady_clock::now() + patience;
  while (!reached()) {
    if (std::chrono::steady_clock::now() > until) return false;
    std::this_thread::sleep_for(std::chrono::milliseconds(10));
  }
  return true;
}

class TestProcess {
 public:
  // Runs argv[0] with exactly this environment. stdout and stderr go to one pipe.
  TestProcess(std::vector<std::string> argv, std::map<std::string, std::string> environment);
  // Ends it with SIGKILL if it still runs.
  ~TestProcess();

  pid_t pid() const { return pid_; }
  void signal(int number);

  // Reads output until a line contains `part`, and returns that line; nullopt at the end of output or of
  // patience.
  std::optional<std::string> wait_for_line(std::string_view part);
  // Whoever read its output is gone.
  void close_output() { pipe_.reset(); }
  // Nobody has read its output for a long time: not a byte more fits in.
  void fill_output();
  // Whether it has ended. Its output isn't read.
  bool has_ended() const;
  // Waits for its end: exit code, or 128 + signal. nullopt when patience ends.
  std::optional<int> wait_for_exit();
  // Everything it has printed so far (of what was read).
  const std::string& output() const { return output_; }

 private:
  bool read_some(std::chrono::steady_clock::time_point until);

  pid_t pid_ = -1;
  UniqueFd pipe_, pidfd_;
  std::string output_;
  std::size_t searched_ = 0;
  std::optional<int> status_;
};

}  // namespace cppworker::testing
