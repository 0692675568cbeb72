#include "supervisor/service.hpp"

#include <gmock/gmock.h>

#include <csignal>
#include <fstream>
#include <optional>
#include <boost/asio/post.hpp>

#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/fake_process_runner.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Kind = ServiceEventKind;
using Phase = ServicePhase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A service over processes that the test plays, with the policy's own times: the clock is moved.
class ServiceTest : public testing::Test {
 protected:
  void make(ServicePolicy policy = {}) {
    ServiceHooks hooks;
    hooks.make_spec = [this](const std::string& mark) -> Result<ProcessSpec> {
      marks.push_back(mark);
      if (spec_error) return fail(*spec_error);
      return ProcessSpec{.name = "model", .program = "/bin/model"};
    };
    hooks.on_output = [this](OutputStream stream, std::string_view bytes) {
      output += (stream == OutputStream::kStdout ? "out:" : "err:") + std::string(bytes);
    };
    hooks.on_launched = [this] { calls.push_back("launched"); };
    hooks.on_ready = [this] { calls.push_back("ready"); };
    hooks.on_not_ready = [this] {
      calls.push_back("not ready, signals so far: " + std::to_string(processes.last().leader_signals.size()));
    };
    hooks.start_measuring = [this] { calls.push_back("measure"); };
    hooks.on_gone = [this](std::uint64_t launch) { calls.push_back("gone " + std::to_string(launch)); };
    hooks.on_give_up = [this] { calls.push_back("given up: " + service->last_error()); };
    hooks.programs = programs;
    hooks.cgroup = cgroup;
    hooks.before_launch = [this]() -> Result<void> {
      if (port_error) return fail(*port_error);
      return {};
    };
    hooks.on_failure = [this](PostMortem& made) {
      ++noticed;
      made.in_flight.resize(1);
    };
    hooks.on_failed = [this](PostMortem made) { left.push_back(std::move(made)); };
    hooks.on_change = [this] { phases.emplace_back(name_of(service->state().phase)); };
    service.emplace(io, processes, "model", std::move(policy), std::move(hooks));
  }

  void post(Kind kind) {
    service->post(kind);
    settle();
  }
  // Runs what is at hand, and what that brings about.
  void settle() {
    io.restart();
    io.poll();
  }
  void skip(std::chrono::milliseconds duration) { clock.skip(io, duration); }
  bool reaches(Phase phase) {
    return run_until(io, [&] { return service->state().phase == phase; });
  }

  void launch() { post(Kind::kWantUp); }
  void become_ready() {
    launch();
    post(Kind::kSeenReady);
    ASSERT_EQ(service->state().phase, Phase::kReady);
  }
  void crash(int code = 1) {
    processes.exit_with_code(code);
    ASSERT_TRUE(run_until(io, [&] { return service->state().phase != Phase::kSweeping; }));
  }

  MovableClock clock;
  asio::io_context io;
  FakeProcessRunner processes;
  std::optional<std::string> spec_error;
  HooksDefinition programs;
  std::string cgroup;
  std::optional<std::string> port_error;
  std::vector<PostMortem> left;
  int noticed = 0;
  std::vector<std::string> marks, calls, phases;
  std::string output;
  std::optional<Service> service;
};

TEST_F(ServiceTest, LaunchesWhenWantedAndLetsRequestsInWhenReady) {
  make();
  settle();
  EXPECT_EQ(processes.launches(), 0u) << "nobody wants it yet";
  EXPECT_EQ(service->pid(), -1);
  launch();
  ASSERT_EQ(processes.launches(), 1u);
  EXPECT_EQ(processes.last().spec.program, "/bin/model");
  EXPECT_EQ(service->pid(), processes.last().pid);
  EXPECT_THAT(calls, ElementsAre("launched"));
  post(Kind::kSeenReady);
  EXPECT_THAT(calls, ElementsAre("launched", "ready"));
  EXPECT_THAT(phases, ElementsAre("starting", "ready"));
}

TEST_F(ServiceTest, PostsAreDecidedByTheLoopAndNotWithinTheCall) {
  make();
  service->post(Kind::kWantUp);
  EXPECT_EQ(service->state().phase, Phase::kDown);
  settle();
  EXPECT_EQ(service->state().phase, Phase::kStarting);
}

TEST_F(ServiceTest, MeasuresBeforeTheFirstRequestWhereThePolicyAsksForIt) {
  make({.measures = true});
  launch();
  post(Kind::kSeenReady);
  EXPECT_THAT(calls, ElementsAre("launched", "measure"));
  post(Kind::kMeasured);
  EXPECT_THAT(calls, ElementsAre("launched", "measure", "ready"));
}

TEST_F(ServiceTest, HandsOverOutputAsItComes) {
  make();
  launch();
  processes.print("half a li");
  processes.print("Traceback\n", OutputStream::kStderr);
  EXPECT_EQ(output, "out:half a lierr:Traceback\n");
}

TEST_F(ServiceTest, RelaunchesADeadProcessAfterAPause) {
  make({.backoff_first = 10s, .backoff_jitter = 0.2});
  become_ready();
  crash();
  EXPECT_THAT(calls, ElementsAre("launched", "ready", "not ready, signals so far: 0", "gone 1"));
  EXPECT_THAT(phases, ElementsAre("starting", "ready", "sweeping", "backoff"));
  EXPECT_EQ(service->pid(), -1);
  skip(7900ms);
  EXPECT_EQ(processes.launches(), 1u) << "the pause is 8 to 12 s";
  skip(4200ms);
  EXPECT_EQ(processes.launches(), 2u);
  EXPECT_EQ(service->state().phase, Phase::kStarting);
  EXPECT_EQ(service->pid(), processes.last().pid);
}

TEST_F(ServiceTest, WaitsLongerWithEachFailureInARow) {
  make({.backoff_first = 10s, .backoff_jitter = 0});
  launch();
  for (const auto pause : {10s, 20s, 40s, 60s, 60s}) {
    crash();
    const std::size_t before = processes.launches();
    skip(pause - 500ms);
    EXPECT_EQ(processes.launches(), before) << pause.count();
    skip(600ms);
    EXPECT_EQ(processes.launches(), before + 1) << pause.count();
  }
}

TEST_F(ServiceTest, SaysHowTheProcessEndedUntilTheNextOneIsReady) {
  make();
  launch();
  EXPECT_EQ(service->last_error(), "");
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(service->last_error(), "the model failed: the process ended: signal 9 (SIGKILL)");
  EXPECT_THAT(service->failures(), ElementsAre(testing::Pair("the process ended", 1)));
  skip(2s);
  EXPECT_NE(service->last_error(), "") << "a launch alone has proved nothing";
  post(Kind::kSeenReady);
  EXPECT_EQ(service->last_error(), "");
  EXPECT_THAT(service->failures(), ElementsAre(testing::Pair("the process ended", 1)));
}

// A log line of a process that is long gone, given as the reason of another's end, leads astray.
TEST_F(ServiceTest, GivesNoReasonOfAnEarlierLaunch) {
  make();
  launch();
  service->set_reason("Error: out of memory");
  post(Kind::kFatalLog);
  service->set_reason("Error: out of memory, once more");
  post(Kind::kFatalLog);
  crash();
  skip(2s);
  ASSERT_EQ(processes.launches(), 2u);
  crash(3);
  EXPECT_EQ(service->last_error(), "the model failed: the process ended: exit code 3");
}

TEST_F(ServiceTest, TriesAgainWhenTheProcessCannotBeStarted) {
  make();
  processes.spawn_error = "cannot start the model: launch.sh: Permission denied";
  launch();
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(
      service->last_error(),
      "the model failed: it could not be started: cannot start the model: launch.sh: Permission denied");
  EXPECT_THAT(calls, IsEmpty()) << "nothing ran, so nothing has ended";
  EXPECT_EQ(service->pid(), -1);
  skip(2s);
  EXPECT_EQ(service->failures().at("it could not be started"), 2u);
  processes.spawn_error.reset();
  skip(4s);
  EXPECT_EQ(processes.launches(), 1u);
  EXPECT_THAT(calls, ElementsAre("launched"));
}

TEST_F(ServiceTest, TriesAgainWhenItCannotBeSaidWhatToLaunch) {
  make();
  spec_error = "cannot make a socket pair for the proxy: Too many open files";
  launch();
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_THAT(service->last_error(), HasSubstr("Too many open files"));
  spec_error.reset();
  skip(2s);
  EXPECT_EQ(processes.launches(), 1u);
}

TEST_F(ServiceTest, GivesEachLaunchAMarkOfItsOwn) {
  make();
  launch();
  EXPECT_EQ(service->tree_mark(), marks.at(0));
  crash();
  skip(2s);
  ASSERT_EQ(marks.size(), 2u);
  EXPECT_EQ(service->tree_mark(), marks[1]);
  EXPECT_NE(marks[0], marks[1]) << "else a sweep would end the next launch with the last one's rest";
}

TEST_F(ServiceTest, SendsTheStopSignalAndKillsWhenThatIsIgnored) {
  make({.stop = {{.signal = SIGINT, .wait = 90s}}});
  become_ready();
  post(Kind::kWantDown);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGINT));
  EXPECT_THAT(processes.last().group_signals, IsEmpty()) << "the leader may ask its workers itself";
  skip(89s);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGINT));
  skip(2s);
  EXPECT_EQ(service->state().phase, Phase::kKilling);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGINT, SIGKILL));
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGKILL));
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(reaches(Phase::kDown));
  EXPECT_THAT(service->failures(), IsEmpty()) << "its end was asked for";
  EXPECT_EQ(service->last_error(), "");
}

TEST_F(ServiceTest, KillsAgainAsLongAsTheKernelHoldsTheProcess) {
  make({.stop = {{.wait = 90s}}, .kill_timeout = 10s});
  become_ready();
  post(Kind::kWantDown);
  skip(91s);
  skip(11s);
  skip(11s);
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGKILL, SIGKILL, SIGKILL));
  EXPECT_EQ(service->state().phase, Phase::kKilling);
}

TEST_F(ServiceTest, SaysItWithOtherSignalsBeforeItKills) {
  make({.stop = {{.signal = SIGINT, .wait = 10s},
                 {.signal = SIGTERM, .wait = 20s, .to = StopStep::To::kGroup},
                 {.signal = SIGABRT, .wait = 5s}}});
  become_ready();
  post(Kind::kWantDown);
  skip(11s);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGINT));
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGTERM));
  skip(21s);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGINT, SIGABRT));
  skip(6s);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGINT, SIGABRT, SIGKILL));
}

TEST_F(ServiceTest, GivesUpAndSaysWhatTheLastFailureWas) {
  make({.give_up = {{.causes = {}, .failures = 2, .window = 1h}}});
  launch();
  crash();
  skip(2s);
  calls.clear();
  processes.exit_with_code(3);
  ASSERT_TRUE(reaches(Phase::kGaveUp));
  EXPECT_EQ(
      calls.back(),
      "given up: the model failed: the process ended: exit code 3; given up after 2 failures within 1 h");
  skip(24h);
  EXPECT_EQ(processes.launches(), 2u);
}

TEST_F(ServiceTest, StaysDownOnceItHasStopped) {
  make();
  become_ready();
  post(Kind::kWantDown);
  processes.exit_with_code(0);
  ASSERT_TRUE(reaches(Phase::kDown));
  skip(24h);
  EXPECT_EQ(processes.launches(), 1u);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM)) << "the kill's deadline was withdrawn";
  EXPECT_THAT(phases, ElementsAre("starting", "ready", "stopping", "sweeping", "down"));
}

TEST_F(ServiceTest, KillsAtOnceWhenHurried) {
  make();
  become_ready();
  post(Kind::kWantDown);
  post(Kind::kHurry);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM, SIGKILL));
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGKILL));
}

TEST_F(ServiceTest, HurryMeansNothingToAProcessThatIsToRun) {
  make();
  become_ready();
  post(Kind::kHurry);
  EXPECT_EQ(service->state().phase, Phase::kReady);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ServiceTest, LetsNobodyInBeforeItStopsWhatIsUnhealthy) {
  make();
  become_ready();
  service->set_reason("no answer within 5000 ms");
  post(Kind::kUnhealthy);
  EXPECT_THAT(calls, ElementsAre("launched", "ready", "not ready, signals so far: 0"));
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM));
  EXPECT_EQ(service->last_error(), "the model failed: it is unwell: no answer within 5000 ms");
  processes.exit_with_code(0);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(service->failures().count("the process ended"), 0u) << "it ended because it was told to";
}

TEST_F(ServiceTest, StopsWhatIsNotReadyInTimeAndStartsItAgain) {
  make({.start_deadline = 3600s});
  launch();
  skip(3599s);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
  skip(2s);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM));
  EXPECT_EQ(service->last_error(), "the model failed: it was not ready in time");
  crash(0);
  skip(2s);
  EXPECT_EQ(processes.launches(), 2u);
}

TEST_F(ServiceTest, HasAllTheTimeInTheWorldOnceItIsReady) {
  make({.start_deadline = 3600s});
  become_ready();
  skip(1000h);
  EXPECT_EQ(service->state().phase, Phase::kReady);
}

TEST_F(ServiceTest, RestartsAtOnceWhenAskedTo) {
  make();
  become_ready();
  post(Kind::kWantDown);
  post(Kind::kWantUp);
  processes.exit_with_code(0);
  ASSERT_TRUE(reaches(Phase::kStarting));
  EXPECT_EQ(processes.launches(), 2u);
  EXPECT_THAT(service->failures(), IsEmpty());
}

TEST_F(ServiceTest, ForgetsAPlannedRelaunchWhenNobodyWantsItAnyMore) {
  make();
  launch();
  crash();
  ASSERT_EQ(service->state().phase, Phase::kBackoff);
  post(Kind::kWantDown);
  skip(1h);
  EXPECT_EQ(service->state().phase, Phase::kDown);
  EXPECT_EQ(processes.launches(), 1u);
}

TEST_F(ServiceTest, TellsWhatItKnowsAboutEachFailureWhenTheRunIsOver) {
  make({.give_up = {{.causes = {}, .failures = 3, .window = 1h}}});
  become_ready();
  skip(90s);
  service->set_reason("no answer within 5000 ms");
  post(Kind::kUnhealthy);
  EXPECT_THAT(left, IsEmpty()) << "how it ends isn't known yet";
  EXPECT_EQ(noticed, 1);
  processes.exit_by_signal(SIGTERM);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].summary, service->last_error());
  EXPECT_EQ(left[0].cause, "health");
  EXPECT_EQ(left[0].exit->text(), "signal 15 (SIGTERM)");
  EXPECT_EQ(left[0].launch, 1u);
  EXPECT_GE(left[0].ready_for_s.value(), 90);
  EXPECT_EQ(left[0].in_flight.size(), 1u);
  processes.spawn_error = "cannot start the model: fork: Resource temporarily unavailable";
  skip(2s);
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[1].cause, "spawn");
  EXPECT_FALSE(left[1].exit) << "there was none";
  EXPECT_FALSE(left[1].ready_after_s);
  skip(2s);
  ASSERT_EQ(left.size(), 3u);
  EXPECT_THAT(left[2].summary, HasSubstr("given up after 3 failures")) << "as the autoscaler hears it";
}

// SIGKILL alone may be anybody's; the kernel's memory.events says whose it was.
TEST_F(ServiceTest, TellsADeathForLackOfMemoryFromOthers) {
  const TemporaryFolder group;
  cgroup = group.path();
  const auto kills = [&](int count) {
    std::ofstream(group / "memory.events") << "max 5\noom_kill " << count << "\n";
  };
  kills(3);
  make();
  launch();
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(service->last_error(), "the model failed: the process ended: signal 9 (SIGKILL)");
  skip(2s);
  kills(4);
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(service->last_error(), "the model failed: the process ended: signal 9 (SIGKILL), out of memory");
  EXPECT_TRUE(left.back().exit->out_of_memory);
}

// As in life: the exit is a handler of the loop, in which a sweep that finds nothing ends at once.
TEST_F(ServiceTest, TellsOfAFailureOnceAlsoWhenTheSweepEndsAtOnce) {
  make();
  become_ready();
  asio::post(io, [&] { processes.exit_by_signal(SIGKILL); });
  ASSERT_TRUE(reaches(Phase::kBackoff));
  settle();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].in_flight.size(), 1u);
}

TEST_F(ServiceTest, TellsNothingOfAStopThatWasAskedFor) {
  make();
  become_ready();
  post(Kind::kWantDown);
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kDown));
  EXPECT_THAT(left, IsEmpty());
}

TEST_F(ServiceTest, LaunchesNothingThatCannotRun) {
  port_error = "cannot use port 5001: process 1 (x, state S) listens on it; end that one";
  make();
  launch();
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_THAT(service->last_error(), HasSubstr("it could not be started: cannot use port 5001"));
  EXPECT_EQ(processes.launches(), 0u);
  port_error.reset();
  skip(2s);
  EXPECT_EQ(processes.launches(), 1u);
}

// Hooks are processes of the same runner, played by the test like the model.
class ServiceHooksTest : public ServiceTest {
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
