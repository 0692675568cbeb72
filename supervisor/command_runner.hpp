// Runs programs beside a service: its hooks, and its health commands.
//
// Each runs with a deadline and in a tree of its own, of which nothing is left afterwards, but what
// withstands SIGKILL; that is kept in mind, for no launch must come on top of it. Threads: the supervisor's
// loop. The runner must outlive what it was asked to run, or the loop end first.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/steady_timer.hpp>

#include "common/async.hpp"
#include "supervisor/launch_records.hpp"
#include "supervisor/process_runner.hpp"
#include "supervisor/process_tree.hpp"

namespace cppworker {

struct Command {
  ProcessSpec spec{};       // its name stands in messages and in the records: "hook pre_start"
  std::string tree_mark{};  // the one in its environment, and its own
  std::chrono::milliseconds timeout{0};
  std::function<void(OutputStream, std::string_view)> on_output{};
};

struct CommandEnd {
  std::optional<ExitStatus> status{};  // absent: it took too long, or was cancelled
  bool cancelled = false;
};

class CommandRunner {
 public:
  // `records`: where each is written down while it runs; nullptr: nowhere.
  CommandRunner(asio::io_context& io, ProcessRunner& processes, LaunchRecords* records = nullptr,
                SweepTree sweep = sweep_tree)
      : io_(io),
        processes_(processes),
        records_(records),
        sweep_(std::move(sweep)),
        ended_(io, std::chrono::steady_clock::time_point::max()) {}

  // For a command's tree.
  std::string make_mark() const { return cppworker::make_mark(records_); }

  // Until it has ended, and nothing of it is left, or that withstood. Fails as ProcessRunner::spawn does.
  Awaitable<Result<CommandEnd>> run(Command command);
  // Ends all that run: nobody waits for them any more.
  void cancel();
  // Does so, and waits until none runs; then tries once more to end what they have left.
  Awaitable<> end_all();
  // Whether none that has run left anything that withstood SIGKILL, or that nobody could look at.
  bool clean() const { return left_.empty(); }
  // What of it is known.
  std::vector<ProcessInfo> survivors() const;
  // Looks once more at what programs of that name have left, and says what is still there: "process 4711
  // (python3, state D)"; empty: nothing.
  Awaitable<std::string> look_at_left(std::string name);

 private:
  struct Run;
  struct Left {
    std::string name;
    ProcessTree tree;
    std::vector<ProcessInfo> processes;
  };
  Awaitable<> sweep_again(std::shared_ptr<Left> left, std::chrono::milliseconds limit);

  asio::io_context& io_;
  ProcessRunner& processes_;
  LaunchRecords* const records_;
  const SweepTree sweep_;
  std::set<std::shared_ptr<Run>> running_;   // until nothing of it is left, or it withstood
  asio::steady_timer ended_;                 // cancelled when one leaves running_
  std::vector<std::shared_ptr<Left>> left_;  // each until a look has found that it is gone
};

}  // namespace cppworker
