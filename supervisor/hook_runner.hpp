// Runs a backend's hooks: programs of its folder that an operator wants to be run at certain times of a
// launch's life.
//
// Each runs with a deadline and in a tree of its own, of which nothing is left afterwards. What it prints
// goes to the worker's log, a bounded number of lines. Threads: the supervisor's loop. The runner must
// outlive what it was asked to run, or the loop end first.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/async.hpp"
#include "launchers/backend_definition.hpp"
#include "supervisor/launch_records.hpp"
#include "supervisor/process_runner.hpp"

namespace cppworker {

// What a hook is told, as CPPWORKER_CAUSE, _CODE, _PID and _ATTEMPT.
struct HookFacts {
  std::string cause = "none";  // key_of(FailureCause) of the run that ended or is being ended
  std::string code{};          // of an exit: "3", "SIGKILL"; else empty
  pid_t pid = -1;              // of the launched process; -1: none
  std::uint64_t attempt = 0;   // number of the launch, from 1
};

class HookRunner {
 public:
  // `records`: where each is written down while it runs; nullptr: nowhere.
  HookRunner(asio::io_context& io, ProcessRunner& processes, LaunchRecords* records = nullptr)
      : io_(io), processes_(processes), records_(records) {}

  // "cannot run the hook pre_start: …": it couldn't be started, failed, took too long, or was cancelled.
  Awaitable<Result<void>> run(std::string name, HookDefinition hook, HookFacts facts);
  // Ends all that run: nobody waits for them any more.
  void cancel();

 private:
  struct Run;
  void print(Run& run, std::string_view line);

  asio::io_context& io_;
  ProcessRunner& processes_;
  LaunchRecords* const records_;
  std::set<std::shared_ptr<Run>> running_;
};

}  // namespace cppworker
