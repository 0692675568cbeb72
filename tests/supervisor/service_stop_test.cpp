#include "tests/supervisor/service_fixture.hpp"

#include <csignal>

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Kind = ServiceEventKind;
using Phase = ServicePhase;
using testing::ElementsAre;
using testing::IsEmpty;

class ServiceStopTest : public ServiceFixture {};

TEST_F(ServiceStopTest, SendsTheStopSignalAndKillsWhenThatIsIgnored) {
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

TEST_F(ServiceStopTest, KillsAgainAsLongAsTheKernelHoldsTheProcess) {
  make({.stop = {{.wait = 90s}}, .kill_timeout = 10s});
  become_ready();
  post(Kind::kWantDown);
  skip(91s);
  skip(11s);
  skip(11s);
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGKILL, SIGKILL, SIGKILL));
  EXPECT_EQ(service->state().phase, Phase::kKilling);
}

TEST_F(ServiceStopTest, SaysItWithOtherSignalsBeforeItKills) {
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

TEST_F(ServiceStopTest, StaysDownOnceItHasStopped) {
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

TEST_F(ServiceStopTest, KillsAtOnceWhenHurried) {
  make();
  become_ready();
  post(Kind::kWantDown);
  post(Kind::kHurry);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM, SIGKILL));
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGKILL));
}

TEST_F(ServiceStopTest, HurryMeansNothingToAProcessThatIsToRun) {
  make();
  become_ready();
  post(Kind::kHurry);
  EXPECT_EQ(service->state().phase, Phase::kReady);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ServiceStopTest, LetsNobodyInBeforeItStopsWhatIsUnhealthy) {
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

TEST_F(ServiceStopTest, StopsWhatIsNotReadyInTimeAndStartsItAgain) {
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

TEST_F(ServiceStopTest, RestartsAtOnceWhenAskedTo) {
  make();
  become_ready();
  post(Kind::kWantDown);
  post(Kind::kWantUp);
  processes.exit_with_code(0);
  ASSERT_TRUE(reaches(Phase::kStarting));
  EXPECT_EQ(processes.launches(), 2u);
  EXPECT_THAT(service->failures(), IsEmpty());
}

TEST_F(ServiceStopTest, ForgetsAPlannedRelaunchWhenNobodyWantsItAnyMore) {
  make();
  launch();
  crash();
  ASSERT_EQ(service->state().phase, Phase::kBackoff);
  post(Kind::kWantDown);
  skip(1h);
  EXPECT_EQ(service->state().phase, Phase::kDown);
  EXPECT_EQ(processes.launches(), 1u);
}

}  // namespace
}  // namespace cppworker
