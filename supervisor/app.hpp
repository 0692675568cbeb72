// The worker's composition root: builds every part from the settings, connects them, and runs until a signal
// or a failure ends it.
#pragma once

#include <functional>
#include <string>

#include "common/result.hpp"
#include "supervisor/settings.hpp"

namespace cppworker {

// Exit codes of `cppworker run`; the shell's and the service managers' customs where there are any.
enum ExitCode {
  kExitClean = 0,
  kExitUnexpected = 1,    // a bug: something threw
  kExitConfig = 64,       // EX_USAGE: nothing was started
  kExitCannotStart = 69,  // EX_UNAVAILABLE: a port, the run directory or the ledger can't be had
  kExitModelGaveUp = 70,  // the model failed too often
  kExitUnkillable = 72,   // a process withstands SIGKILL: the machine needs a restart
  kExitProxyGaveUp = 73,  // the proxy failed too often
};

// Reads the settings anew; an error is one line.
using ReadSettings = std::function<Result<Settings>()>;

// `settings`: what `read` gave; it is called again on SIGHUP. `program_dir`: where cppworker-proxy lies.
// Blocks until the worker has ended.
int run_worker(const Settings& settings, ReadSettings read, const std::string& program_dir);

}  // namespace cppworker
