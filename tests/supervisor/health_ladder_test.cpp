#include "supervisor/health_ladder.hpp"

#include <gmock/gmock.h>

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;
using testing::StartsWith;

constexpr TimePoint kStart = TimePoint() + 1000h;

class HealthLadderTest : public testing::Test {
 protected:
  HealthLadderTest() {
    policy.probes.resize(1);
    policy.probes[0].failures = 3;
    policy.probes[0].unready_failures = 2;
    policy.stall = 120s;
  }

  void begin() {
    ladder.emplace(policy);
    ladder->ready(pulse, now);
  }
  void after(std::chrono::seconds duration) {
    now += duration;
    ladder->sampled(pulse, now);
  }
  void probe(bool good, std::size_t which = 0) {
    after(10s);
    ladder->probed(which, good, "status 503 instead of 200", now);
  }
  void probe_now(bool good) { ladder->probed(0, good, "status 503 instead of 200", now); }
  void canary(bool good) { ladder->canary_answered(good, "no answer within 30000 ms", now); }
  void flow() { pulse.upstream_bytes += 10; }
  void fail(int requests) {
    pulse.upstream_failures += static_cast<std::uint64_t>(requests);
    after(1s);
  }
  Standing standing() { return ladder->judge(now).standing; }
  std::string reason() { return ladder->judge(now).reason; }

  LadderPolicy policy;
  std::optional<HealthLadder> ladder;
  Pulse pulse{.at_server = 0, .served = 100, .upstream_bytes = 5000, .upstream_failures = 7};
  TimePoint now = kStart;
};

// ---- probes

TEST_F(HealthLadderTest, ClimbsFromNotReadyToRestart) {
  begin();
  probe(false);
  EXPECT_EQ(standing(), Standing::kWell) << "a single lost probe";
  probe(false);
  EXPECT_EQ(standing(), Standing::kUnready);
  probe(false);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_EQ(reason(), "status 503 instead of 200 (3 in a row)");
}

TEST_F(HealthLadderTest, IsReadyAgainAfterSoManyGoodAnswers) {
  policy.probes[0].failures = 9;
  policy.probes[0].successes = 2;
  begin();
  probe(false), probe(false);
  EXPECT_EQ(standing(), Standing::kUnready);
  probe(true);
  EXPECT_EQ(standing(), Standing::kUnready);
  probe(false), probe(true);
  EXPECT_EQ(standing(), Standing::kUnready) << "the good ones must be in a row";
  probe(true);
  EXPECT_EQ(standing(), Standing::kWell);
}

// Nothing is let in meanwhile, so no byte will ever show that it is well.
TEST_F(HealthLadderTest, OneThatIsNeverWellForLongEnoughIsRestarted) {
  policy.probes[0].successes = 2;
  begin();
  probe(false), probe(false);
  EXPECT_EQ(standing(), Standing::kUnready);
  probe(true);
  EXPECT_EQ(standing(), Standing::kUnready);
  probe(false);
  EXPECT_EQ(standing(), Standing::kRestart);
  begin();
  for (int i = 0; i < 10; ++i) probe(false), probe(true);
  EXPECT_EQ(standing(), Standing::kWell) << "it was well all the time";
}

TEST_F(HealthLadderTest, CountsEachProbeForItself) {
  policy.probes.resize(2);
  begin();
  for (int i = 0; i < 5; ++i) probe(false, 1), probe(true, 0);
  EXPECT_EQ(standing(), Standing::kRestart);
  begin();
  for (int i = 0; i < 5; ++i) probe(false, 0), probe(true, 0), probe(false, 1), probe(true, 1);
  EXPECT_EQ(standing(), Standing::kWell);
}

TEST_F(HealthLadderTest, IsUnarmedBeforeReadyAndWhenTheProcessIsGone) {
  ladder.emplace(policy);
  for (int i = 0; i < 5; ++i) probe(false);
  EXPECT_EQ(standing(), Standing::kWell);
  begin();
  EXPECT_EQ(standing(), Standing::kWell) << "what was before doesn't count";
  for (int i = 0; i < 5; ++i) probe(false);
  ladder->gone();
  EXPECT_EQ(standing(), Standing::kWell);
}

// ---- progress

TEST_F(HealthLadderTest, ABusyServerMayFailItsProbesForHours) {
  begin();
  pulse.at_server = 3;
  for (int i = 0; i < 1000; ++i) {
    flow();
    probe(false);
    ASSERT_EQ(standing(), Standing::kWell);
  }
}

TEST_F(HealthLadderTest, BytesThatFlowAgainMakeItWell) {
  begin();
  probe(false), probe(false);
  EXPECT_EQ(standing(), Standing::kUnready);
  pulse.at_server = 1;
  flow();
  after(1s);
  EXPECT_EQ(standing(), Standing::kWell);
}

TEST_F(HealthLadderTest, ARequestThatStallsAndAFailingProbeRestart) {
  begin();
  pulse.at_server = 2;
  for (int i = 0; i < 12; ++i) probe(false);
  EXPECT_EQ(standing(), Standing::kWell) << "110 s without a byte";
  for (int i = 0; i < 3; ++i) probe(false);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_THAT(reason(), StartsWith("2 requests at the server and not a byte for"));
  EXPECT_THAT(reason(), HasSubstr("status 503 instead of 200"));
}

// Each client gives up, and the next one comes at once: a server that answers nobody is no busy one.
TEST_F(HealthLadderTest, RequestsThatNobodyAnswersAreOneSilence) {
  for (const std::chrono::seconds patience : {3s, 30s, 100s}) {
    begin();
    const TimePoint began = now;
    for (auto waited = 0s; standing() != Standing::kRestart && now - began < 1h; waited += 1s) {
      pulse.at_server = waited % (patience + 1s) == patience ? 0 : 1;
      after(1s);
      if (pulse.at_server > 0 && waited % 10s == 0s) probe_now(false);
    }
    EXPECT_GT(now - began, 120s) << patience.count();
    EXPECT_LT(now - began, 120s + 120s) << patience.count();
  }
}

TEST_F(HealthLadderTest, AGoodByteBetweenClientsWhoGiveUpEndsTheSilence) {
  begin();
  for (int i = 0; i < 50; ++i) {
    pulse.at_server = 1;
    after(1s);
    after(100s);
    for (int failures = 0; failures < 3; ++failures) probe_now(false);
    ASSERT_EQ(standing(), Standing::kWell) << i;
    flow();
    pulse.at_server = 0;
    after(1s);
  }
}

// A long image, or text that isn't streamed.
TEST_F(HealthLadderTest, ASilentRequestAloneRestartsNothing) {
  begin();
  pulse.at_server = 1;
  for (int i = 0; i < 1000; ++i) probe(true);
  EXPECT_EQ(standing(), Standing::kWell);
}

TEST_F(HealthLadderTest, ARequestHasItsTimeFromItsBeginning) {
  begin();
  after(1h);
  pulse.at_server = 1;
  after(1s);
  after(100s);
  for (int i = 0; i < 5; ++i) ladder->probed(0, false, "x", now);
  EXPECT_EQ(standing(), Standing::kWell);
}

// ---- the canary

TEST_F(HealthLadderTest, AnIdleServerGetsACanaryNowAndThen) {
  begin();
  EXPECT_FALSE(ladder->wants_canary(now)) << "none is declared";
  policy.has_canary = true;
  begin();
  after(59s);
  EXPECT_FALSE(ladder->wants_canary(now));
  after(1s);
  EXPECT_TRUE(ladder->wants_canary(now));
  canary(true);
  EXPECT_FALSE(ladder->wants_canary(now));
  pulse.at_server = 1, flow();
  after(120s);
  EXPECT_FALSE(ladder->wants_canary(now)) << "work is the better canary";
}

TEST_F(HealthLadderTest, AnIdleServerThatFailsItsCanaryIsRestarted) {
  policy.has_canary = true;
  begin();
  after(60s);
  canary(false);
  EXPECT_EQ(standing(), Standing::kWell) << "one may be lost";
  EXPECT_FALSE(ladder->wants_canary(now));
  after(10s);
  EXPECT_TRUE(ladder->wants_canary(now)) << "sooner than the next regular one";
  canary(false), after(10s), canary(false);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_EQ(reason(), "canary: no answer within 30000 ms (3 in a row)");
}

TEST_F(HealthLadderTest, ADeadEngineBehindAHealthyFrontIsFoundByTheCanary) {
  policy.has_canary = true;
  begin();
  pulse.at_server = 5;
  for (int i = 0; i < 12; ++i) probe(true);
  EXPECT_FALSE(ladder->wants_canary(now));
  probe(true);
  EXPECT_TRUE(ladder->wants_canary(now));
  EXPECT_EQ(standing(), Standing::kWell);
  canary(false);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_THAT(reason(), HasSubstr("5 requests at the server and not a byte for 120 s; canary: no answer"));
}

TEST_F(HealthLadderTest, AGoodCanaryShowsThatASilentRequestIsMerelyLong) {
  policy.has_canary = true;
  begin();
  pulse.at_server = 1;
  after(1s), after(200s);
  EXPECT_TRUE(ladder->wants_canary(now));
  canary(true);
  EXPECT_EQ(standing(), Standing::kWell);
  after(119s);
  EXPECT_FALSE(ladder->wants_canary(now)) << "it works, and has its time anew";
  after(1s);
  EXPECT_TRUE(ladder->wants_canary(now)) << "the silence goes on";
}

TEST_F(HealthLadderTest, ABusyServersLateCanarySaysNothing) {
  policy.has_canary = true;
  begin();
  after(60s);
  pulse.at_server = 3, flow();
  after(1s);
  for (int i = 0; i < 10; ++i) canary(false);
  EXPECT_EQ(standing(), Standing::kWell);
}

TEST_F(HealthLadderTest, ClientsWhoGiveUpAndComeAgainDoNotPutTheCanaryOff) {
  policy.has_canary = true;
  begin();
  for (int i = 0; i < 12; ++i) {
    pulse.at_server = 1;
    after(1s);
    after(3s);
    EXPECT_FALSE(ladder->wants_canary(now)) << i;
    pulse.at_server = 0;
    after(1s);
    EXPECT_EQ(ladder->wants_canary(now), i == 11) << i;
  }
  for (int i = 0; i < 3; ++i) canary(false), after(10s);
  EXPECT_EQ(standing(), Standing::kRestart);
}

TEST_F(HealthLadderTest, AServerThatWorksOnOneAtATimeGetsNoCanaryBesideARequest) {
  policy.has_canary = policy.serial = true;
  begin();
  pulse.at_server = 1;
  after(1s), after(300s);
  EXPECT_FALSE(ladder->wants_canary(now));
  pulse.at_server = 0;
  after(60s);
  EXPECT_TRUE(ladder->wants_canary(now));
}

// ---- its own errors

TEST_F(HealthLadderTest, ARowOfItsOwnErrorsRestartsIt) {
  begin();
  fail(9);
  EXPECT_EQ(standing(), Standing::kWell);
  fail(1);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_EQ(reason(), "10 answers in a row were its own errors");
}

TEST_F(HealthLadderTest, AGoodAnswerBetweenErrorsEndsTheRow) {
  begin();
  for (int i = 0; i < 20; ++i) {
    fail(9);
    ++pulse.served;
    after(1s);
  }
  EXPECT_EQ(standing(), Standing::kWell);
}

TEST_F(HealthLadderTest, ErrorsBeforeThisLaunchAreNotIts) {
  pulse.upstream_failures = 1000;
  begin();
  fail(1);
  EXPECT_EQ(standing(), Standing::kWell);
}

// A client whose requests make a server answer 500 must not be able to end it.
TEST_F(HealthLadderTest, WithACanaryItDecidesAboutARowOfErrors) {
  policy.has_canary = true;
  begin();
  after(20s);
  fail(12);
  EXPECT_EQ(standing(), Standing::kWell);
  EXPECT_TRUE(ladder->wants_canary(now));
  canary(true);
  EXPECT_EQ(standing(), Standing::kWell);
  fail(9);
  EXPECT_EQ(standing(), Standing::kWell) << "the row begins anew";
  after(20s), fail(1);
  pulse.at_server = 4;  // and more of them come all the time
  after(1s);
  EXPECT_TRUE(ladder->wants_canary(now));
  canary(false);
  EXPECT_EQ(standing(), Standing::kRestart);
}

// It is never idle while clients queue up: nothing new is let in for as long as that takes.
TEST_F(HealthLadderTest, AServerThatWorksOnOneAtATimeIsKeptFreeForTheCanaryAfterARowOfErrors) {
  policy.has_canary = policy.serial = true;
  for (const bool well : {true, false}) {
    begin();
    pulse.at_server = 1;
    after(1s);
    fail(9);
    EXPECT_EQ(standing(), Standing::kWell);
    fail(1);
    EXPECT_FALSE(ladder->wants_canary(now)) << "it would wait behind the request";
    EXPECT_EQ(standing(), Standing::kUnready);
    EXPECT_EQ(reason(), "10 answers in a row were its own errors; it is kept free for the canary");
    pulse.at_server = 0;
    after(1s);
    EXPECT_TRUE(ladder->wants_canary(now)) << "however short a time ago it was asked last";
    EXPECT_EQ(standing(), Standing::kUnready);
    canary(well);
    EXPECT_EQ(standing(), well ? Standing::kWell : Standing::kRestart);
  }
}

TEST_F(HealthLadderTest, TheCanaryOfAServerThatWorksOnOneAtATimeIsNotWaitedForLongerThanAStall) {
  policy.has_canary = policy.serial = true;
  begin();
  after(1h);
  pulse.at_server = 1;
  fail(10);
  after(119s);
  EXPECT_EQ(standing(), Standing::kUnready);
  after(1s);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_EQ(reason(), "10 answers in a row were its own errors; the canary got no turn");
}

TEST_F(HealthLadderTest, OneAtATimeIsSetWhileItRuns) {
  policy.has_canary = true;
  begin();
  pulse.at_server = 1;
  after(1s);
  fail(10);
  EXPECT_TRUE(ladder->wants_canary(now));
  ladder->set_serial(true);
  EXPECT_FALSE(ladder->wants_canary(now));
}

// ---- fatal lines

TEST_F(HealthLadderTest, AFatalLineAloneIsNotBelieved) {
  begin();
  ladder->saw_fatal_line("^CUDA error", now);
  EXPECT_EQ(standing(), Standing::kWell);
  probe(true), probe(true);
  EXPECT_EQ(standing(), Standing::kWell);
}

TEST_F(HealthLadderTest, AFatalLineAndAFailingProbeRestart) {
  begin();
  ladder->saw_fatal_line("^CUDA error", now);
  probe(false);
  EXPECT_EQ(standing(), Standing::kWell) << "a line that was faked, and a probe that was lost";
  probe(false);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_TRUE(ladder->judge(now).by_log);
  EXPECT_EQ(reason(), "its log matches \"^CUDA error\"; status 503 instead of 200 (2 in a row)");
}

TEST_F(HealthLadderTest, AFatalLineAndThreeErrorsRestart) {
  begin();
  ladder->saw_fatal_line("^CUDA error", now);
  fail(2);
  EXPECT_EQ(standing(), Standing::kWell);
  fail(1);
  EXPECT_EQ(standing(), Standing::kRestart);
}

TEST_F(HealthLadderTest, AfterAFatalLineTheCanaryIsAskedAtOnce) {
  policy.has_canary = true;
  begin();
  after(60s);
  canary(true);
  after(1s);
  ladder->saw_fatal_line("^CUDA error", now);
  EXPECT_TRUE(ladder->wants_canary(now));
  fail(3);
  EXPECT_EQ(standing(), Standing::kWell) << "it decides";
  canary(true);
  EXPECT_EQ(standing(), Standing::kWell);
  EXPECT_FALSE(ladder->wants_canary(now));
  probe(false);
  EXPECT_EQ(standing(), Standing::kWell) << "the line is disproved";
  ladder->saw_fatal_line("^CUDA error", now);
  canary(false);
  EXPECT_EQ(standing(), Standing::kRestart);
  EXPECT_TRUE(ladder->judge(now).by_log);
}

TEST_F(HealthLadderTest, AFatalLineIsForgottenAfterItsWindowHoweverOftenItIsRepeated) {
  begin();
  ladder->saw_fatal_line("^CUDA error", now);
  for (int i = 0; i < 3; ++i) {
    probe(true);
    ladder->saw_fatal_line("^CUDA error", now);
  }
  after(1s);
  probe(false);
  EXPECT_EQ(standing(), Standing::kWell);
}

TEST_F(HealthLadderTest, WhatWasBadBeforeTheLineBearsNothingOut) {
  begin();
  probe(false);
  ladder->saw_fatal_line("^CUDA error", now);
  EXPECT_EQ(standing(), Standing::kWell);
}

// A prompt that is echoed, and the probe that a busy server always loses.
TEST_F(HealthLadderTest, AFatalLineDoesNotEndABusyServer) {
  begin();
  pulse.at_server = 2;
  for (int i = 0; i < 10; ++i) {
    flow();
    ladder->saw_fatal_line("^CUDA error", now);
    probe(false);
    canary(false);
    ASSERT_EQ(standing(), Standing::kWell);
  }
}

}  // namespace
}  // namespace cppworker
