#include "tests/supervisor/service_fixture.hpp"

#include <csignal>

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
  // The hook that was started last ends.
  void hook_ends(int code = 0) {
    const std::size_t before = processes.launches();
    processes.exit_with_code(code);
    run_until(io, [&] { return processes.launches() > before || processes.last().destroyed; });
    settle();
  }
};

TEST_F(ServiceHooksTest, LaunchesWhenPreStartHasEnded) {
  programs.pre_start = {"/opt/hooks/pre.sh", 60s};
  make();
  launch();
  EXPECT_EQ(hook("pre_start").variable("CPPWORKER_ATTEMPT"), "1");
  EXPECT_EQ(hook("pre_start").variable("CPPWORKER_CAUSE"), "none");
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

}  // namespace
}  // namespace cppworker
