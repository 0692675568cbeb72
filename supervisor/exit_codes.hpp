// Exit codes of cppworker; the shell's and the service managers' customs where there are any.
#pragma once

namespace cppworker {

enum ExitCode {
  kExitClean = 0,
  kExitUnexpected = 1,    // a bug: something threw
  kExitNoWorker = 3,      // status, logs, why: none runs there (as LSB's status has it)
  kExitConfig = 64,       // EX_USAGE: nothing was started
  kExitCannotStart = 69,  // EX_UNAVAILABLE: a port, the run directory or the ledger can't be had
  kExitModelGaveUp = 70,  // the model failed too often
  kExitUnkillable = 72,   // a process withstands SIGKILL: the machine needs a restart
  kExitProxyGaveUp = 73,  // the proxy failed too often
};

}  // namespace cppworker
