#include "tests/supervisor/service_fixture.hpp"

#include <csignal>
#include <boost/asio/co_spawn.hpp>

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Kind = ServiceEventKind;
using Phase = ServicePhase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// Hooks are processes of the same runner, played by the test like the model.
class ServiceHooksTest : public ServiceFixture {
 protected:
  FakeProcessRunner::Launch& hook(const std::string& name) {
    EXPECT_EQ(processes.last().spec.name, "hook " + name);
    return processes.last();
  }
  void exits(FakeProcessRunner::Launch& launch) {
    launch.running = false;
    launch.callbacks.on_exit({.kind = ExitStatus::Kind::kCode, .code = 1});
    settle();
  }
  // Of that one something withstands SIGKILL, as long as it is set.
  void make_unkillable() {
    sweep = [this](ProcessTree tree, std::set<ProcessKey>,
                   std::chrono::milliseconds) -> Awaitable<Result<std::vector<ProcessInfo>>> {
      std::vector<ProcessInfo> left;
      if (tree.leader == unkillable) left.emplace_back().pid = unkillable;
      co_return left;
    };
  }
  // The hook that was started last ends.
  void hook_ends(int code = 0) {
    const std::size_t before = processes.launches();
    processes.exit_with_code(code);
    run_until(io, [&] { return processes.launches() > before || processes.last().destroyed; });
    settle();
  }

  pid_t unkillable = -1;
};

TEST_F(ServiceHooksTest, LaunchesWhenPreStartHasEnded) {
  programs.pre_start = {"/opt/hooks/pre.sh", 60s};
  make();
  launch();
  EXPECT_EQ(hook("pre_start").variable("CPPWORKER_ATTEMPT"), "1");
  EXPECT_EQ(hook("pre_start").variable("CPPWORKER_CAUSE"), "none");
  EXPECT_EQ(hook("pre_start").variable("SERVER_PORT"), "5001");
  EXPECT_THAT(calls, IsEmpty());
  hook_ends();
  ASSERT_EQ(processes.launches(), 2u);
  EXPECT_EQ(processes.last().spec.program, "/bin/model");
  EXPECT_THAT(calls, ElementsAre("launched"));
}

TEST_F(ServiceHooksTest, AFailedPreStartIsAFailedStart) {
  programs.pre_start = {"/opt/hooks/pre.sh", 60s};
  make({.give_up = {{.causes = {FailureCause::kSpawnFailed}, .failures = 2, .window = 1h}}});
  launch();
  hook_ends(3);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(service->last_error(),
            "the model failed: it could not be started: the hook pre_start failed: exit code 3");
  skip(2s);
  EXPECT_EQ(hook("pre_start").variable("CPPWORKER_ATTEMPT"), "2");
  skip(61s);
  ASSERT_TRUE(reaches(Phase::kGaveUp));
  EXPECT_THAT(service->last_error(), HasSubstr("it has not ended within 60 s"));
}

TEST_F(ServiceHooksTest, AStopDoesNotWaitForPreStart) {
  programs.pre_start = {"/opt/hooks/pre.sh", 60s};
  make();
  launch();
  post(Kind::kWantDown);
  ASSERT_TRUE(reaches(Phase::kDown));
  EXPECT_TRUE(processes.last().destroyed);
  EXPECT_EQ(processes.launches(), 1u) << "the model was never launched";
}

TEST_F(ServiceHooksTest, RunsPreStopBeforeTheFirstSignal) {
  programs.pre_stop = {"/opt/hooks/stop.sh", 20s};
  make({.stop = {{.wait = 30s, .to = StopStep::To::kHook}, {.signal = SIGINT, .wait = 90s}}});
  become_ready();
  FakeProcessRunner::Launch& model = processes.last();
  post(Kind::kWantDown);
  EXPECT_EQ(hook("pre_stop").variable("CPPWORKER_PID"), std::to_string(model.pid));
  EXPECT_THAT(model.leader_signals, IsEmpty());
  hook_ends(1);
  EXPECT_THAT(model.leader_signals, ElementsAre(SIGINT)) << "whether or not it went well";
}

TEST_F(ServiceHooksTest, AHurryDoesNotWaitForPreStop) {
  programs.pre_stop = {"/opt/hooks/stop.sh", 20s};
  make({.stop = {{.wait = 30s, .to = StopStep::To::kHook}, {.signal = SIGINT, .wait = 90s}}});
  become_ready();
  FakeProcessRunner::Launch& model = processes.last();
  post(Kind::kWantDown);
  post(Kind::kHurry);
  EXPECT_THAT(model.group_signals, ElementsAre(SIGKILL));
}

TEST_F(ServiceHooksTest, RunsPostExitBeforeTheNextLaunchAndTellsItWhy) {
  programs.post_exit = {"/opt/hooks/exit.sh", 20s};
  make();
  become_ready();
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(run_until(io, [&] { return processes.launches() == 2; }));
  EXPECT_EQ(service->state().phase, Phase::kSweeping);
  EXPECT_EQ(hook("post_exit").variable("CPPWORKER_CAUSE"), "exit");
  EXPECT_EQ(hook("post_exit").variable("CPPWORKER_CODE"), "SIGKILL");
  EXPECT_EQ(hook("post_exit").variable("CPPWORKER_ATTEMPT"), "1");
  hook_ends();
  EXPECT_TRUE(reaches(Phase::kBackoff));
}

TEST_F(ServiceHooksTest, RunsPostReadyBesideTheModel) {
  programs.post_ready = {"/opt/hooks/ready.sh", 20s};
  make();
  launch();
  post(Kind::kSeenReady);
  hook("post_ready");
  EXPECT_THAT(calls, ElementsAre("launched", "ready"));
  hook_ends(1);
  EXPECT_EQ(service->state().phase, Phase::kReady);
  EXPECT_EQ(service->last_error(), "");
}

// Symptom: a warm-up of a dead model went on beside the next launch, and after the worker's end.
TEST_F(ServiceHooksTest, AHookEndsWithItsLaunch) {
  programs.post_ready = {"/opt/hooks/ready.sh", 600s};
  programs.pre_stop = {"/opt/hooks/stop.sh", 600s};
  make({.stop = {{.wait = 610s, .to = StopStep::To::kHook}, {.signal = SIGINT, .wait = 90s}}});
  launch();
  post(Kind::kSeenReady);
  post(Kind::kWantDown);
  ASSERT_EQ(processes.launches(), 3u);
  exits(processes.launch(0));
  ASSERT_TRUE(reaches(Phase::kDown));
  for (const std::size_t hook : {1u, 2u}) {
    EXPECT_THAT(processes.launch(hook).group_signals, ElementsAre(SIGKILL));
    EXPECT_TRUE(processes.launch(hook).destroyed) << "it was waited for";
  }
}

TEST_F(ServiceHooksTest, AHurryHoldsForAHookThatWouldComeLater) {
  programs.post_exit = {"/opt/hooks/exit.sh", 20s};
  make();
  become_ready();
  post(Kind::kWantDown);
  post(Kind::kHurry);
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(reaches(Phase::kDown));
  EXPECT_EQ(processes.launches(), 1u);
  // A launch that comes after it has all of its hooks.
  become_ready();
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(run_until(io, [&] { return processes.launches() == 3; }));
  hook("post_exit");
}

// The next launch would come on top of it, on the same GPU.
TEST_F(ServiceHooksTest, WhatAPreStartLeavesUnkillableKeepsTheLaunchOff) {
  programs.pre_start = {"/opt/hooks/pre.sh", 60s};
  make_unkillable();
  make({.sweep_retry = 5s, .stuck_after = 9s});
  launch();
  unkillable = processes.last().pid;
  hook_ends();
  EXPECT_EQ(service->state().phase, Phase::kSweeping);
  skip(6s);
  EXPECT_EQ(service->state().phase, Phase::kSweeping);
  skip(6s);
  ASSERT_EQ(service->state().phase, Phase::kStuck);
  EXPECT_EQ(processes.launches(), 1u) << "the model was never launched";
  EXPECT_THAT(service->last_error(), HasSubstr(std::to_string(unkillable)));
  EXPECT_THAT(service->last_error(), HasSubstr("withstands SIGKILL"));
}

TEST_F(ServiceHooksTest, WhatAPostExitLeavesUnkillableIsWaitedForAndTheHookIsNotRunAgain) {
  programs.post_exit = {"/opt/hooks/exit.sh", 20s};
  make_unkillable();
  make({.sweep_retry = 5s});
  become_ready();
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(run_until(io, [&] { return processes.launches() == 2; }));
  unkillable = hook("post_exit").pid;
  hook_ends();
  EXPECT_EQ(service->state().phase, Phase::kSweeping);
  unkillable = -1;
  skip(6s);
  EXPECT_EQ(service->state().phase, Phase::kBackoff);
  EXPECT_EQ(processes.launches(), 2u);
}

// ---- commands beside it

// A health command as the model's service runs it.
class ServiceCommandsTest : public ServiceHooksTest {
 protected:
  FakeProcessRunner::Launch& run_command() {
    Command command;
    command.spec.name = "health command";
    command.tree_mark = "mark";
    command.timeout = 60s;
    asio::co_spawn(io, service->commands().run(std::move(command)),
                   [this](std::exception_ptr, Result<CommandEnd> end) { outcome = std::move(end); });
    settle();
    EXPECT_EQ(processes.last().spec.name, "health command");
    return processes.last();
  }

  std::optional<Result<CommandEnd>> outcome;
};

TEST_F(ServiceCommandsTest, TheyEndWithTheirLaunchBeforeTheNextOne) {
  make();
  become_ready();
  FakeProcessRunner::Launch& model = processes.last();
  FakeProcessRunner::Launch& command = run_command();
  exits(model);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_THAT(command.group_signals, ElementsAre(SIGKILL));
  EXPECT_TRUE(command.destroyed);
  ASSERT_TRUE(outcome);
  EXPECT_TRUE((*outcome)->cancelled);
}

TEST_F(ServiceCommandsTest, AStopWaitsUntilNothingOfThemIsLeft) {
  make_unkillable();
  make({.sweep_retry = 5s, .stuck_after = 9s});
  become_ready();
  FakeProcessRunner::Launch& model = processes.last();
  unkillable = run_command().pid;
  post(Kind::kWantDown);
  exits(model);
  EXPECT_EQ(service->state().phase, Phase::kSweeping);
  skip(6s);
  EXPECT_EQ(service->state().phase, Phase::kSweeping);
  skip(6s);
  ASSERT_EQ(service->state().phase, Phase::kStuck);
  EXPECT_THAT(service->last_error(), HasSubstr("process " + std::to_string(unkillable)));
}

TEST_F(ServiceCommandsTest, NoLaunchComesOnTopOfWhatTheyLeave) {
  make_unkillable();
  make({.sweep_retry = 5s});
  become_ready();
  FakeProcessRunner::Launch& model = processes.last();
  FakeProcessRunner::Launch& command = run_command();
  unkillable = command.pid;
  exits(command);
  exits(model);
  skip(60s);
  EXPECT_EQ(service->state().phase, Phase::kSweeping);
  EXPECT_EQ(processes.launches(), 2u);
  unkillable = -1;
  skip(6s);
  EXPECT_EQ(service->state().phase, Phase::kBackoff);
}

// ---- deadlines

// Symptom: it counted twice, as two causes, and the rule for starts that take too long never saw it.
TEST_F(ServiceHooksTest, AStartDeadlineDuringPreStartIsOneFailure) {
  programs.pre_start = {"/opt/hooks/pre.sh", 600s};
  make({.start_deadline = 30s});
  launch();
  skip(31s);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_THAT(service->failures(), ElementsAre(testing::Pair("it was not ready in time", 1)));
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].cause, "start_deadline");
}

}  // namespace
}  // namespace cppworker
