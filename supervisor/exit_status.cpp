#include "supervisor/exit_status.hpp"

#include <string.h>
#include <sys/wait.h>

namespace cppworker {

ExitStatus ExitStatus::from_wait_status(int status) {
  ExitStatus made;
  if (WIFEXITED(status)) {
    made.kind = Kind::kCode;
    made.code = WEXITSTATUS(status);
  } else if (WIFSIGNALED(status)) {
    made.kind = Kind::kSignal;
    made.signal = WTERMSIG(status);
    made.core = WCOREDUMP(status);
  }
  return made;
}

std::string ExitStatus::text() const {
  std::string made = "unknown exit status";
  if (kind == Kind::kCode) made = "exit code " + std::to_string(code);
  if (kind == Kind::kSignal) {
    made = "signal " + std::to_string(signal);
    if (const char* abbreviation = sigabbrev_np(signal)) made += " (SIG" + std::string(abbreviation) + ")";
    if (core) made += ", core dumped";
  }
  if (out_of_memory) made += ", out of memory";
  return made;
}

std::string ExitStatus::short_text() const {
  if (kind == Kind::kCode) return std::to_string(code);
  if (kind != Kind::kSignal) return "unknown";
  const char* abbreviation = sigabbrev_np(signal);
  return abbreviation != nullptr ? "SIG" + std::string(abbreviation) : "signal " + std::to_string(signal);
}

}  // namespace cppworker
