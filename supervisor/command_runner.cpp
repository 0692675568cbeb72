#include "supervisor/command_runner.hpp"

#include <algorithm>
#include <csignal>
#include <utility>

namespace cppworker {

struct CommandRunner::Run {
  explicit Run(asio::io_context& io) : deadline(io) {}

  std::unique_ptr<ChildProcess> child;
  std::optional<ExitStatus> status;
  asio::steady_timer deadline;  // cancelled by the exit, and by cancel()
  bool over = false;            // waits for nothing but the sweep
  bool cancelled = false;
};

Awaitable<Result<CommandEnd>> CommandRunner::run(Command command) {
  const auto run = std::make_shared<Run>(io_);
  const std::string name = command.spec.name;
  ProcessCallbacks callbacks;
  callbacks.on_output = std::move(command.on_output);
  callbacks.on_exit = [run = run.get()](ExitStatus status) {
    run->status = status;
    run->deadline.cancel();
  };
  if (records_ != nullptr) records_->begin({.service = name, .mark = command.tree_mark});
  run->deadline.expires_after(command.timeout);
  Result<std::unique_ptr<ChildProcess>> child =
      processes_.spawn(std::move(command.spec), std::move(callbacks));
  if (!child) {
    if (records_ != nullptr) records_->end(command.tree_mark);
    co_return child.error();
  }
  run->child = std::move(*child);
  ProcessTree tree;
  tree.mark = command.tree_mark;
  tree.leader = run->child->pid();
  // Now: later its status has been taken, and the number may be another's.
  if (const auto leader = look_at_process(tree.leader)) tree.leader_start = leader->start_time;
  if (records_ != nullptr) records_->launched(tree.mark, tree.leader);
  running_.insert(run);
  co_await run->deadline.async_wait(kTuple);
  run->over = true;
  CommandEnd end;
  end.status = run->status;
  end.cancelled = run->cancelled;

  // Also after a clean end: what it has started isn't part of any launch's tree, and nobody else would end
  // it.
  if (!end.status) run->child->signal_group(SIGKILL);
  Awaitable<Result<std::vector<ProcessInfo>>> ending = end_remains(name, tree, records_, sweep_);
  Result<std::vector<ProcessInfo>> left = co_await std::move(ending);
  if (!left || !left->empty()) {
    auto kept = std::make_shared<Left>();
    kept->name = name;
    kept->tree = tree;
    if (left) kept->processes = std::move(*left);
    left_.push_back(std::move(kept));
  }
  run->child.reset();
  running_.erase(run);
  ended_.cancel();
  co_return end;
}

void CommandRunner::cancel() {
  for (const std::shared_ptr<Run>& run : running_) {
    if (run->over) continue;
    run->cancelled = true;
    run->deadline.cancel();
  }
}

Awaitable<> CommandRunner::end_all() {
  cancel();
  while (!running_.empty()) co_await ended_.async_wait(kTuple);
  const std::vector<std::shared_ptr<Left>> earlier = left_;
  for (const std::shared_ptr<Left>& left : earlier) co_await sweep_again(left, kRemainsLimit);
}

// It stays in left_ meanwhile: whoever asks then must not be told that nothing is left.
Awaitable<> CommandRunner::sweep_again(std::shared_ptr<Left> left, std::chrono::milliseconds limit) {
  Awaitable<Result<std::vector<ProcessInfo>>> sweeping = sweep_(left->tree, {}, limit);
  Result<std::vector<ProcessInfo>> still = co_await std::move(sweeping);
  if (!still) co_return;
  left->processes = std::move(*still);
  if (!left->processes.empty()) co_return;
  if (records_ != nullptr) records_->end(left->tree.mark);
  std::erase(left_, left);
}

std::vector<ProcessInfo> CommandRunner::survivors() const {
  std::vector<ProcessInfo> all;
  for (const auto& left : left_) all.insert(all.end(), left->processes.begin(), left->processes.end());
  return all;
}

Awaitable<std::string> CommandRunner::look_at_left(std::string name) {
  std::string named;
  const std::vector<std::shared_ptr<Left>> earlier = left_;
  for (const std::shared_ptr<Left>& left : earlier) {
    if (left->name != name) continue;
    // One look: it was sent SIGKILL long ago.
    co_await sweep_again(left, std::chrono::milliseconds(0));
    if (std::find(left_.begin(), left_.end(), left) == left_.end()) continue;
    if (left->processes.empty())
      named += (named.empty() ? "" : ", ") + std::string("what can't be looked at");
    for (const ProcessInfo& process : left->processes)
      named += (named.empty() ? "process " : ", process ") + process.text();
  }
  co_return named;
}

}  // namespace cppworker
