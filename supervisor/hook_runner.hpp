// Runs a backend's hooks: programs of its folder that an operator wants to be run at certain times of a
// launch's life.
//
// They are commands as command_runner.hpp has them; what a hook prints goes to the worker's log, a bounded
// number of lines. Threads: the supervisor's loop.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "common/async.hpp"
#include "launchers/backend_definition.hpp"
#include "supervisor/command_runner.hpp"

namespace cppworker {

using Variables = std::vector<std::pair<std::string, std::string>>;

// What a hook is told, as CPPWORKER_CAUSE, _CODE, _PID and _ATTEMPT.
struct HookFacts {
  std::string cause = "none";  // key_of(FailureCause) of the run that ended or is being ended
  std::string code{};          // of an exit: "3", "SIGKILL"; else empty
  pid_t pid = -1;              // of the launched process; -1: none
  std::uint64_t attempt = 0;   // number of the launch, from 1
};

class HookRunner {
 public:
  // `variables` are the same for all.
  explicit HookRunner(CommandRunner& commands, Variables variables = {})
      : commands_(commands), variables_(std::move(variables)) {}

  // "cannot run the hook pre_start: …": it couldn't be started, failed, took too long, or was cancelled.
  Awaitable<Result<void>> run(std::string name, HookDefinition hook, HookFacts facts);

 private:
  CommandRunner& commands_;
  const Variables variables_;
};

}  // namespace cppworker
