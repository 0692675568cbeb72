// The folder of one worker's files: ledger, logs, public key, benchmark, the proxy's settings.
#pragma once

#include <string>

#include "common/result.hpp"
#include "common/unique_fd.hpp"

namespace cppworker {

// Makes the folder (mode 0700) and holds it: two workers on one ledger would both report the same load. The
// error names the process that has it. Released when the result is destroyed, or the process dies however.
Result<UniqueFd> hold_run_directory(const std::string& path);

}  // namespace cppworker
