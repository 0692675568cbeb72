#include "supervisor/hook_runner.hpp"

#include <memory>
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

// What one hook prints, by the line.
class HookLog {
 public:
  explicit HookLog(std::string name) : name_(std::move(name)) {}

  void feed(OutputStream stream, std::string_view bytes) {
    splitters_[stream == OutputStream::kStdout ? 0 : 1].feed(bytes,
                                                             [this](std::string_view line) { print(line); });
  }
  void finish() {
    for (LineSplitter& splitter : splitters_) splitter.finish([this](std::string_view line) { print(line); });
  }

 private:
  void print(std::string_view line) {
    if (lines_++ < kMostLines) spdlog::info("hook {}: {}", name_, printable(line));
    if (lines_ == kMostLines) spdlog::info("hook {}: what it prints from here on is dropped", name_);
  }

  const std::string name_;
  LineSplitter splitters_[2];
  int lines_ = 0;
};

}  // namespace

Awaitable<Result<void>> HookRunner::run(std::string name, HookDefinition hook, HookFacts facts) {
  const auto log = std::make_shared<HookLog>(name);
  Command command;
  command.tree_mark = commands_.make_mark();
  command.spec.name = "hook " + name;
  command.spec.program = hook.command;
  command.spec.environment =
      child_environment(own_environment(), variables_of(name, facts, variables_), command.tree_mark);
  command.timeout = hook.timeout;
  command.on_output = [log](OutputStream stream, std::string_view bytes) { log->feed(stream, bytes); };
  Awaitable<Result<CommandEnd>> running = commands_.run(std::move(command));
  const Result<CommandEnd> end = co_await std::move(running);
  if (!end) co_return wrap("cannot run the hook " + name, end.error());
  log->finish();
  if (end->cancelled) co_return fail("cannot run the hook " + name + ": it was cancelled");
  if (!end->status)
    co_return fail("cannot run the hook " + name + ": it has not ended within " +
                   std::to_string(hook.timeout.count()) + " s");
  if (!end->status->clean()) co_return fail("the hook " + name + " failed: " + end->status->text());
  co_return Result<void>();
}

}  // namespace cppworker
