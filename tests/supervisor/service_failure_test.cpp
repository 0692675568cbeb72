#include "tests/supervisor/service_fixture.hpp"

#include <csignal>
#include <fstream>
#include <boost/asio/post.hpp>

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Kind = ServiceEventKind;
using Phase = ServicePhase;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

class ServiceFailureTest : public ServiceFixture {};

TEST_F(ServiceFailureTest, SaysHowTheProcessEndedUntilTheNextOneIsReady) {
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
TEST_F(ServiceFailureTest, GivesNoReasonOfAnEarlierLaunch) {
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

TEST_F(ServiceFailureTest, GivesUpAndSaysWhatTheLastFailureWas) {
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

TEST_F(ServiceFailureTest, TellsWhatItKnowsAboutEachFailureWhenTheRunIsOver) {
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

TEST_F(ServiceFailureTest, TellsOfAFailureOnceAlsoWhenAStopCutsTheWaitAfterItShort) {
  make();
  become_ready();
  crash();
  ASSERT_EQ(service->state().phase, Phase::kBackoff);
  post(Kind::kWantDown);
  ASSERT_EQ(service->state().phase, Phase::kDown);
  EXPECT_EQ(left.size(), 1u);
}

// SIGKILL alone may be anybody's; the kernel's count says whose it was.
TEST_F(ServiceFailureTest, TellsADeathForLackOfMemoryFromOthers) {
  const TemporaryFolder group;
  memory_group = group.path();
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

// The group is all of the instance's: an operator's own program may have died in it, days ago.
TEST_F(ServiceFailureTest, TakesNoDeathOfLongAgoForItsOwnReason) {
  const TemporaryFolder group;
  memory_group = group.path();
  std::ofstream(group / "memory.events") << "oom_kill 3\n";
  make();
  become_ready();
  std::ofstream(group / "memory.events") << "oom_kill 4\n";
  for (int i = 0; i < 60; ++i) skip(1s);
  processes.exit_by_signal(SIGSEGV);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(service->last_error(), "the model failed: the process ended: signal 11 (SIGSEGV)");
  EXPECT_FALSE(left.back().exit->out_of_memory);
}

// As in life: the exit is a handler of the loop, in which a sweep that finds nothing ends at once.
TEST_F(ServiceFailureTest, TellsOfAFailureOnceAlsoWhenTheSweepEndsAtOnce) {
  make();
  become_ready();
  asio::post(io, [&] { processes.exit_by_signal(SIGKILL); });
  ASSERT_TRUE(reaches(Phase::kBackoff));
  settle();
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].in_flight.size(), 1u);
}

// Nobody comes to look before the machine is taken away: the file says what held it.
TEST_F(ServiceFailureTest, LeavesWordOfWhatCannotBeEndedAlsoWhereTheStopWasAskedFor) {
  make({.stop = {{.wait = 90s}}, .kill_timeout = 10s, .stuck_after = 25s});
  become_ready();
  const std::string pid = std::to_string(processes.last().pid);
  post(Kind::kWantDown);
  skip(91s);
  for (int i = 0; i < 2; ++i) skip(11s);
  EXPECT_THAT(left, testing::IsEmpty()) << "it may still end";
  skip(11s);
  ASSERT_EQ(service->state().phase, Phase::kStuck);
  ASSERT_EQ(left.size(), 1u);
  EXPECT_EQ(left[0].summary, "the model can't be ended: process " + pid + " withstands SIGKILL");
  EXPECT_EQ(left[0].cause, "stop");
  EXPECT_FALSE(left[0].exit) << "it hasn't ended";
  EXPECT_THAT(left[0].survivors, ElementsAre(pid));
  EXPECT_EQ(left[0].in_flight.size(), 1u);
  EXPECT_EQ(calls.back(), "given up: " + left[0].summary);
  EXPECT_EQ(service->last_failure()->summary, left[0].summary);
}

TEST_F(ServiceFailureTest, TellsNothingOfAStopThatWasAskedFor) {
  make();
  become_ready();
  post(Kind::kWantDown);
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kDown));
  EXPECT_THAT(left, IsEmpty());
}

}  // namespace
}  // namespace cppworker
