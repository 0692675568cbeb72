// Runs a backend's hooks: programs of its folder that an operator wants to be run at certain times of a
// launch's life.
//
// Each runs with a deadline and in a tree of its own, of which nothing is left afterwards, but what
// withstands SIGKILL; that is kept in mind, for no launch must come on top of it. What a hook prints goes to
// the worker's log, a bounded number of lines. Threads: the supervisor's loop. The runner must outlive what
// it was asked to run, or the loop end first.
#pragma once

#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>
#include <boost/asio/steady_timer.hpp>

#include "common/async.hpp"
#include "launchers/backend_definition.hpp"
#include "supervisor/launch_records.hpp"
#include "supervisor/process_runner.hpp"
#include "supervisor/process_tree.hpp"

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
  // `records`: where each is written down while it runs; nullptr: nowhere. `variables` are the same for all.
  HookRunner(asio::io_context& io, ProcessRunner& processes, LaunchRecords* records = nullptr,
             Variables variables = {}, SweepTree sweep = sweep_tree)
      : io_(io),
        processes_(processes),
        records_(records),
        variables_(std::move(variables)),
        sweep_(std::move(sweep)),
        ended_(io, std::chrono::steady_clock::time_point::max()) {}

  // "cannot run the hook pre_start: …": it couldn't be started, failed, took too long, or was cancelled.
  Awaitable<Result<void>> run(std::string name, HookDefinition hook, HookFacts facts);
  // Ends all that run: nobody waits for them any more.
  void cancel();
  // Does so, and waits until none runs; then tries once more to end what hooks have left.
  Awaitable<> end_all();
  // Whether none that has run left anything that withstood SIGKILL, or that nobody could look at.
  bool clean() const { return left_.empty(); }
  // What of it is known.
  std::vector<ProcessInfo> survivors() const;

 private:
  struct Run;
  struct Left {
    ProcessTree tree;
    std::vector<ProcessInfo> processes;
  };
  void print(Run& run, std::string_view line);

  asio::io_context& io_;
  ProcessRunner& processes_;
  LaunchRecords* const records_;
  const Variables variables_;
  const SweepTree sweep_;
  std::set<std::shared_ptr<Run>> running_;  // until nothing of it is left, or it withstood
  asio::steady_timer ended_;                // cancelled when one leaves running_
  std::vector<Left> left_;
};

}  // namespace cppworker
