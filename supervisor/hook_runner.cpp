#include "supervisor/hook_runner.hpp"

#include <csignal>
#include <optional>
#include <utility>

#include "common/logging.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/line_splitter.hpp"

namespace cppworker {
namespace {

// Enough for a traceback; a hook that prints more has a log file of its own.
constexpr int kMostLines = 50;

Variables variables_of(const std::string& name, const HookFacts& facts, Variables variables) {
  variables.insert(variables.end(), {{"CPPWORKER_HOOK", name},
                                     {"CPPWORKER_CAUSE", facts.cause},
                                     {"CPPWORKER_CODE", facts.code},
                                     {"CPPWORKER_PID", facts.pid > 0 ? std::to_string(facts.pid) : ""},
                                     {"CPPWORKER_ATTEMPT", std::to_string(facts.attempt)}});
  return variables;
}

}  // namespace

struct HookRunner::Run {
  explicit Run(asio::io_context& io) : deadline(io) {}

  std::string name;
  std::unique_ptr<ChildProcess> child;
  std::optional<ExitStatus> status;
  asio::steady_timer deadline;  // cancelled by the exit, and by cancel()
  bool over = false;            // waits for nothing but the sweep
  bool cancelled = false;
  LineSplitter splitters[2];
  int lines = 0;
};

Awaitable<Result<void>> HookRunner::run(std::string name, HookDefinition hook, HookFacts facts) {
  const auto run = std::make_shared<Run>(io_);
  run->name = name;
  const std::string mark = make_tree_mark();
  ProcessSpec spec;
  spec.name = "hook " + name;
  spec.program = hook.command;
  spec.environment = child_environment(own_environment(), variables_of(name, facts, variables_), mark);

  ProcessCallbacks callbacks;
  callbacks.on_output = [this, run = run.get()](OutputStream stream, std::string_view bytes) {
    run->splitters[stream == OutputStream::kStdout ? 0 : 1].feed(
        bytes, [&](std::string_view line) { print(*run, line); });
  };
  callbacks.on_exit = [run = run.get()](ExitStatus status) {
    run->status = status;
    run->deadline.cancel();
  };
  if (records_ != nullptr) records_->begin({.service = spec.name, .mark = mark});
  run->deadline.expires_after(hook.timeout);
  Result<std::unique_ptr<ChildProcess>> child = processes_.spawn(std::move(spec), std::move(callbacks));
  if (!child) {
    if (records_ != nullptr) records_->end(mark);
    co_return wrap("cannot run the hook " + name, child.error());
  }
  run->child = std::move(*child);
  if (records_ != nullptr) records_->launched(mark, run->child->pid());
  running_.insert(run);
  co_await run->deadline.async_wait(kTuple);
  run->over = true;
  const bool in_time = run->status.has_value();

  // Also after a clean end: what it has started isn't part of any launch's tree, and nobody else would end
  // it.
  ProcessTree tree;
  tree.mark = mark;
  tree.leader = run->child->pid();
  if (!in_time) run->child->signal_group(SIGKILL);
  Awaitable<Result<std::vector<ProcessInfo>>> ending = end_remains("hook " + name, tree, records_, sweep_);
  const Result<std::vector<ProcessInfo>> left = co_await std::move(ending);
  if (!left || !left->empty()) left_.push_back({tree, left ? *left : std::vector<ProcessInfo>()});
  for (LineSplitter& splitter : run->splitters)
    splitter.finish([&](std::string_view line) { print(*run, line); });
  run->child.reset();
  running_.erase(run);
  ended_.cancel();

  if (run->cancelled) co_return fail("cannot run the hook " + name + ": it was cancelled");
  if (!in_time)
    co_return fail("cannot run the hook " + name + ": it has not ended within " +
                   std::to_string(hook.timeout.count()) + " s");
  if (!run->status->clean()) co_return fail("the hook " + name + " failed: " + run->status->text());
  co_return Result<void>();
}

void HookRunner::cancel() {
  for (const std::shared_ptr<Run>& run : running_) {
    if (run->over) continue;
    run->cancelled = true;
    run->deadline.cancel();
  }
}

Awaitable<> HookRunner::end_all() {
  cancel();
  while (!running_.empty()) co_await ended_.async_wait(kTuple);
  std::vector<Left> earlier = std::exchange(left_, {});
  for (Left& left : earlier) {
    Awaitable<Result<std::vector<ProcessInfo>>> sweeping = sweep_(left.tree, {}, kRemainsLimit);
    Result<std::vector<ProcessInfo>> still = co_await std::move(sweeping);
    if (still && still->empty()) {
      if (records_ != nullptr) records_->end(left.tree.mark);
      continue;
    }
    if (still) left.processes = std::move(*still);
    left_.push_back(std::move(left));
  }
}

std::vector<ProcessInfo> HookRunner::survivors() const {
  std::vector<ProcessInfo> all;
  for (const Left& left : left_) all.insert(all.end(), left.processes.begin(), left.processes.end());
  return all;
}

void HookRunner::print(Run& run, std::string_view line) {
  if (run.lines++ < kMostLines) spdlog::info("hook {}: {}", run.name, printable(line));
  if (run.lines == kMostLines) spdlog::info("hook {}: what it prints from here on is dropped", run.name);
}

}  // namespace cppworker
