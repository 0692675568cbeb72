// How a process ended: code, signal, or unknown because somebody else took its status.
#pragma once

#include <string>

namespace cppworker {

struct ExitStatus {
  enum class Kind { kCode, kSignal, kUnknown };
  Kind kind = Kind::kUnknown;
  int code = 0;       // kCode: 0 to 255
  int signal = 0;     // kSignal
  bool core = false;  // kSignal: the kernel reports a core dump
  // The kernel says (memory_kills.hpp) that a process of the launch was killed for lack of memory.
  bool out_of_memory = false;

  bool clean() const { return kind == Kind::kCode && code == 0; }
  // "exit code 1", "signal 9 (SIGKILL)", "signal 11 (SIGSEGV), core dumped", "unknown exit status";
  // with out_of_memory "signal 9 (SIGKILL), out of memory".
  std::string text() const;
  // For programs: "1", "SIGKILL", "unknown".
  std::string short_text() const;

  // From what waitpid stores. Boost.Process's own exit code folds signal n into code n, so that SIGINT looks
  // like exit(2): this takes the raw status.
  static ExitStatus from_wait_status(int status);

  friend bool operator==(const ExitStatus&, const ExitStatus&) = default;
};

}  // namespace cppworker
