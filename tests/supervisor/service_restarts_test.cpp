// How long a service waits before it is launched again, and when it isn't any more.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/supervisor/service_life.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Phase = ServicePhase;
using Kind = ServiceEventKind;
using testing::ElementsAre;

TEST(Backoff, DoublesUpToItsLimit) {
  Life life;
  life.on(Kind::kWantUp);
  std::vector<std::chrono::milliseconds> delays;
  for (int i = 0; i < 8; ++i) delays.push_back(life.fail_before_ready());
  EXPECT_THAT(delays, ElementsAre(1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s));
}

TEST(Backoff, HasACurveForEachKindOfFailure) {
  Life life;
  life.on(Kind::kWantUp);
  EXPECT_EQ(life.fail_before_ready(), 1s);
  EXPECT_EQ(life.fail_before_ready(), 2s);
  EXPECT_EQ(life.fail_after_ready(1s), 1s) << "dying after ready starts its own curve";
  EXPECT_EQ(life.fail_after_ready(1s), 2s);
  EXPECT_EQ(life.fail_before_ready(), 4s) << "and doesn't touch the other";
}

TEST(Backoff, IsForgottenOnlyAfterBeingReadyLongEnough) {
  Life life;
  life.on(Kind::kWantUp);
  for (int i = 0; i < 3; ++i) life.fail_after_ready(1s);
  EXPECT_EQ(life.fail_after_ready(4min), 8s);
  EXPECT_EQ(life.fail_after_ready(5min), 1s);
  EXPECT_EQ(life.fail_before_ready(), 1s);
  EXPECT_EQ(life.fail_before_ready(), 2s);
}

TEST(Backoff, IsNotForgottenByLivingLongWithoutBeingReady) {
  Life life;
  life.on(Kind::kWantUp);
  life.fail_before_ready();
  life.after(2h).on(Kind::kExited).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.last().actions.back().after, 2s);
}

TEST(Backoff, VariesByItsJitter) {
  const ServicePolicy policy;
  EXPECT_EQ(backoff_delay(1, 1, policy), 1200ms);
  EXPECT_EQ(backoff_delay(1, -1, policy), 800ms);
  EXPECT_EQ(backoff_delay(3, 0.5, policy), 4400ms);
  EXPECT_EQ(backoff_delay(1, 99, policy), 1200ms) << "a jitter out of range is clamped";
  EXPECT_EQ(backoff_delay(1'000'000, 0, policy), 60s) << "no overflow after many failures";
  EXPECT_EQ(backoff_delay(0, 0, policy), 1s);
  EXPECT_EQ(backoff_delay(100, 1, policy), 48s) << "the longest wait is the longest, whatever the jitter";
  EXPECT_EQ(backoff_delay(100, -1, policy), 48s);
  EXPECT_EQ(backoff_delay(100, 0.25, policy), 57s);
}

TEST(Backoff, FollowsAFailedSpawnLikeAnyOtherFailure) {
  Life life;
  life.on(Kind::kWantUp).on(Kind::kSpawnFailed);
  EXPECT_EQ(life.state().phase, Phase::kBackoff);
  EXPECT_EQ(life.state().cause, FailureCause::kSpawnFailed);
  life.on(Kind::kDeadline).on(Kind::kSpawnFailed);
  EXPECT_EQ(life.last().actions.back().after, 2s);
  EXPECT_EQ(life.state().launches, 2u);
}

TEST(GivingUp, FollowsTooManyFailuresInTheWindow) {
  Life life({.give_up = {{.causes = {}, .failures = 3, .window = 1h}}});
  life.on(Kind::kWantUp);
  life.fail_before_ready();
  life.fail_after_ready(1s);
  life.on(Kind::kExited).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.state().phase, Phase::kGaveUp);
  EXPECT_EQ(actions_of(life.last()), "disarm give_up");
  EXPECT_EQ(life.state().launches, 3u);
}

TEST(GivingUp, ComesAlsoWhenNothingCanBeSpawned) {
  Life life({.give_up = {{.causes = {FailureCause::kSpawnFailed}, .failures = 2, .window = 1h}}});
  life.on(Kind::kWantUp).on(Kind::kSpawnFailed).on(Kind::kDeadline).on(Kind::kSpawnFailed);
  EXPECT_EQ(life.state().phase, Phase::kGaveUp);
}

TEST(GivingUp, DoesNotComeForFailuresFarApart) {
  Life life({.give_up = {{.causes = {}, .failures = 3, .window = 1h}}});
  life.on(Kind::kWantUp);
  for (int i = 0; i < 20; ++i) life.after(40min).fail_before_ready();
  EXPECT_EQ(life.state().phase, Phase::kStarting);
}

// The waits begin anew after a stretch of being ready; the window does not. Else a server that dies every six
// minutes would do so for ever, a second after the other.
TEST(GivingUp, CountsFailuresBeforeALongTimeOfBeingReady) {
  Life life;
  life.on(Kind::kWantUp);
  for (int i = 0; i < 9; ++i) EXPECT_EQ(life.fail_after_ready(6min), 1s);
  life.on(Kind::kSeenReady).after(6min).on(Kind::kExited).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.state().phase, Phase::kGaveUp);
}

TEST(GivingUp, DoesNotComeForAServerThatDiesRarely) {
  Life life;
  life.on(Kind::kWantUp);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(life.fail_after_ready(2h), 1s);
  EXPECT_EQ(life.state().phase, Phase::kStarting);
  EXPECT_LE(life.state().recent_failures.size(), 16u) << "no more are kept than are counted";
}

TEST(GivingUp, ComesForOneThatDiesEveryHourOfADay) {
  Life life;
  life.on(Kind::kWantUp);
  for (int i = 0; i < 15; ++i) life.fail_after_ready(1h);
  life.on(Kind::kSeenReady).after(1h).on(Kind::kExited).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.state().phase, Phase::kGaveUp);
}

TEST(GivingUp, IsNotForWhatNobodyWants) {
  Life life({.give_up = {{.causes = {}, .failures = 1, .window = 1h}}});
  life.on(Kind::kWantUp).on(Kind::kExited).on(Kind::kWantDown).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.state().phase, Phase::kDown);
}

TEST(GivingUp, NeverComesWithoutARule) {
  Life life({.give_up = {}});
  life.on(Kind::kWantUp);
  for (int i = 0; i < 1000; ++i) life.fail_before_ready();
  EXPECT_TRUE(life.state().recent_failures.empty());
}

// By its own rules a network that comes up minutes late ends nothing, and a model that never loads doesn't
// run for days.
TEST(GivingUp, SuitsLoadsOfAnHour) {
  Life quick;
  quick.on(Kind::kWantUp);
  std::chrono::milliseconds waited{0};
  for (int i = 0; i < 9; ++i) waited += quick.fail_before_ready();
  EXPECT_GT(waited, 4min);
  Life slow;
  slow.on(Kind::kWantUp);
  for (int i = 0; i < 2; ++i)
    slow.after(1h).on(Kind::kDeadline).on(Kind::kExited).on(Kind::kTreeEmpty).after(2s).on(Kind::kDeadline);
  slow.after(1h).on(Kind::kDeadline).on(Kind::kExited).on(Kind::kTreeEmpty);
  EXPECT_EQ(slow.state().phase, Phase::kGaveUp) << "three times the whole deadline";
}

}  // namespace
}  // namespace cppworker
