// The worker's composition root: builds every part from the settings, connects them, and runs until a signal
// or a failure ends it.
#pragma once

#include <functional>
#include <string>

#include "common/result.hpp"
#include "supervisor/exit_codes.hpp"
#include "supervisor/settings.hpp"

namespace cppworker {

// Reads the settings anew; an error is one line.
using ReadSettings = std::function<Result<Settings>()>;

// `settings`: what `read` gave; it is called again on SIGHUP. `program_dir`: where cppworker-proxy lies.
// Blocks until the worker has ended.
int run_worker(const Settings& settings, ReadSettings read, const std::string& program_dir);

}  // namespace cppworker
