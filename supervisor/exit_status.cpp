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
  switch (kind) {
    case Kind::kCode:
      return "exit code " + std::to_string(code);
    case Kind::kSignal: {
      const char* abbreviation = sigabbrev_np(signal);
      std::string made = "signal " + std::to_string(signal);
      if (abbreviation != nullptr) made += " (SIG" + std::string(abbreviation) + ")";
      if (core) made += ", core dumped";
      return made;
    }
    case Kind::kUnknown:
      break;
  }
  return "unknown exit status";
}

}  // namespace cppworker
