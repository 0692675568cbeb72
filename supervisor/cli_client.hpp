// `cppworker status`, `logs` and `why`: asks the worker that runs in a run directory, prints, and returns the
// exit code.
//
// 0 with an answer, kExitNoWorker when no worker runs there, kExitCannotStart when one does and can't be
// asked: not by this user, or it hangs.
#pragma once

#include <chrono>
#include <string>

#include "supervisor/exit_codes.hpp"

namespace cppworker {

// A worker answers from memory, within milliseconds.
inline constexpr std::chrono::seconds kCliAnswerLimit{5};

ExitCode show_status(const std::string& run_dir, bool as_json);
ExitCode show_why(const std::string& run_dir, bool as_json);
// The last `lines`; then with `follow` what comes, until the worker ends or a signal comes.
ExitCode show_logs(const std::string& run_dir, std::size_t lines, bool follow);

}  // namespace cppworker
