#include "supervisor/hook_runner.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>

#include <fstream>
#include <optional>
#include <boost/asio/co_spawn.hpp>

#include "supervisor/orphan_reaper.hpp"
#include "supervisor/process_table.hpp"
#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/process_test.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Real programs: shell scripts.
class HookRunnerTest : public ProcessTest {
 protected:
  HookRunnerTest() {
    become_subreaper();
    reaper.start();
  }

  HookDefinition hook(const std::string& script, std::chrono::seconds timeout = 60s) {
    const std::string path = folder / "hook.sh";
    std::ofstream(path) << "#!/bin/sh\n" << script << "\n";
    ::chmod(path.c_str(), 0755);
    return {path, timeout};
  }
  void start(HookDefinition definition, HookFacts facts = {}) {
    outcome.reset();
    asio::co_spawn(io, runner.run("pre_start", std::move(definition), std::move(facts)),
                   [this](std::exception_ptr problem, Result<void> result) {
                     if (problem) std::rethrow_exception(problem);
                     outcome = result ? "" : result.error().message;
                   });
  }
  std::string run(HookDefinition definition, HookFacts facts = {}) {
    start(std::move(definition), std::move(facts));
    EXPECT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
    return outcome.value_or("(still runs)");
  }
  std::string written() {
    std::ifstream file(folder / "out");
    return std::string(std::istreambuf_iterator<char>(file), {});
  }

  MovableClock clock;
  TemporaryFolder folder;
  asio::io_context io;
  std::unique_ptr<ProcessRunner> processes = make_process_runner(io);
  OrphanReaper reaper{io, [this](pid_t pid) { return processes->owns(pid); }};
  LaunchRecords records{folder / "launches.json"};
  CommandRunner commands{io, *processes, &records};
  HookRunner runner{commands};
  std::optional<std::string> outcome;
};

TEST_F(HookRunnerTest, TellsTheHookWhatHasHappenedAndNoSecret) {
  ::setenv("MASTER_TOKEN", "token", 1);
  const std::string script =
      "echo \"$CPPWORKER_HOOK $CPPWORKER_CAUSE $CPPWORKER_CODE $CPPWORKER_PID "
      "$CPPWORKER_ATTEMPT ${MASTER_TOKEN-none}\" >" +
      (folder / "out");
  EXPECT_EQ(run(hook(script), {.cause = "exit", .code = "3", .pid = 17, .attempt = 4}), "");
  EXPECT_EQ(written(), "pre_start exit 3 17 4 none\n");
  EXPECT_EQ(run(hook(script)), "");
  EXPECT_EQ(written(), "pre_start none   0 none\n");
  ::unsetenv("MASTER_TOKEN");
}

TEST_F(HookRunnerTest, SaysHowAHookFailed) {
  EXPECT_EQ(run(hook("exit 7")), "the hook pre_start failed: exit code 7");
  EXPECT_EQ(run(hook("kill -9 $$")), "the hook pre_start failed: signal 9 (SIGKILL)");
  EXPECT_THAT(run({folder / "none", 1s}), HasSubstr("cannot run the hook pre_start: cannot start"));
}

TEST_F(HookRunnerTest, KillsAHookThatTakesTooLong) {
  start(hook("trap '' TERM; echo $$ >" + (folder / "out") + "; while :; do sleep 1; done", 30s));
  ASSERT_TRUE(run_until(io, [&] { return written().ends_with("\n"); }));
  const pid_t pid = std::atoi(written().c_str());
  clock.skip(io, 29s);
  EXPECT_FALSE(outcome);
  clock.skip(io, 2s);
  ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
  EXPECT_EQ(*outcome, "cannot run the hook pre_start: it has not ended within 30 s");
  EXPECT_TRUE(run_until(io, [&] { return !look_at_process(pid); }));
}

TEST_F(HookRunnerTest, LeavesNothingOfAHookBehind) {
  EXPECT_EQ(run(hook("setsid sleep 1000 & echo $! >" + (folder / "out"))), "");
  const pid_t left = std::atoi(written().c_str());
  ASSERT_GT(left, 0);
  EXPECT_TRUE(run_until(io, [&] { return !look_at_process(left); }));
}

TEST_F(HookRunnerTest, IsWrittenDownWhileItRuns) {
  start(hook("echo $$ >" + (folder / "out") + "; while :; do sleep 1; done"));
  ASSERT_TRUE(run_until(io, [&] { return written().ends_with("\n"); }));
  ASSERT_EQ(records.all().size(), 1u);
  EXPECT_EQ(records.all()[0].service, "hook pre_start");
  EXPECT_EQ(records.all()[0].pid, std::atoi(written().c_str()));
  commands.cancel();
  ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
  EXPECT_TRUE(records.all().empty());
}

TEST_F(HookRunnerTest, CanBeAwaitedUntilNothingOfAnyHookIsLeft) {
  start(hook("setsid sleep 1000 & echo $! >" + (folder / "out") + "; while :; do sleep 1; done"));
  ASSERT_TRUE(run_until(io, [&] { return written().ends_with("\n"); }));
  const pid_t escaped = std::atoi(written().c_str());
  bool ended = false;
  asio::co_spawn(io, commands.end_all(), [&](std::exception_ptr problem) {
    if (problem) std::rethrow_exception(problem);
    ended = true;
  });
  ASSERT_TRUE(run_until(io, [&] { return ended; }));
  EXPECT_TRUE(commands.clean());
  const auto after = look_at_process(escaped);
  EXPECT_TRUE(!after || after->state == 'Z');
  EXPECT_TRUE(records.all().empty());
}

TEST_F(HookRunnerTest, CancelsAHookThatNobodyWaitsForAnyMore) {
  start(hook("echo $$ >" + (folder / "out") + "; while :; do sleep 1; done"));
  ASSERT_TRUE(run_until(io, [&] { return written().ends_with("\n"); }));
  commands.cancel();
  ASSERT_TRUE(run_until(io, [&] { return outcome.has_value(); }));
  EXPECT_EQ(*outcome, "cannot run the hook pre_start: it was cancelled");
}

}  // namespace
}  // namespace cppworker
