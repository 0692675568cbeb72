#include "tests/supervisor/service_fixture.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Kind = ServiceEventKind;
using Phase = ServicePhase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ServiceTest : public ServiceFixture {};

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

TEST_F(ServiceTest, HasAllTheTimeInTheWorldOnceItIsReady) {
  make({.start_deadline = 3600s});
  become_ready();
  skip(1000h);
  EXPECT_EQ(service->state().phase, Phase::kReady);
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

}  // namespace
}  // namespace cppworker
