#include "supervisor/worker_stop.hpp"

#include <gmock/gmock.h>

#include "tests/supervisor/service_fixture.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Kind = ServiceEventKind;
using Phase = ServicePhase;
using testing::HasSubstr;

// What the exit code says, and the last report, when services give up. The stop itself doesn't run: nobody
// turns its loop.
class WorkerStopTest : public ServiceFixture {
 protected:
  void one_fails_too_often() {
    make({.give_up = {{.causes = {}, .failures = 1, .window = 1h}}});
    processes.spawn_error = "cannot start the model: No such file or directory";
    launch();
    processes.spawn_error.reset();
    ASSERT_EQ(service->state().phase, Phase::kGaveUp);
    stop.on_give_up(*service, kExitModelGaveUp);
  }
  void one_cannot_be_ended() {
    make({.stop = {{.wait = 1s}}, .kill_timeout = 1s, .stuck_after = 1s});
    become_ready();
    post(Kind::kWantDown);
    for (int i = 0; i < 3; ++i) skip(1100ms);
    ASSERT_EQ(service->state().phase, Phase::kStuck);
    stop.on_give_up(*service, kExitProxyGaveUp);
  }

  WorkerParts parts{Settings(), BackendDefinition(), "/opt/bin/cppworker-proxy"};
  WorkerStop stop{parts, [] {}};
};

TEST_F(WorkerStopTest, TheFirstThatGivesUpSaysWhy) {
  one_fails_too_often();
  EXPECT_TRUE(stop.ending().stopping);
  EXPECT_EQ(stop.exit_code(), kExitModelGaveUp);
  EXPECT_THAT(stop.ending().last_words, HasSubstr("No such file"));
}

// The machine needs more than another start, and whoever starts the worker again is to know.
TEST_F(WorkerStopTest, WhatCannotBeEndedComesBeforeWhatFailedTooOften) {
  one_fails_too_often();
  one_cannot_be_ended();
  EXPECT_EQ(stop.exit_code(), kExitUnkillable);
  EXPECT_THAT(stop.ending().last_words, HasSubstr("withstands SIGKILL"));
}

TEST_F(WorkerStopTest, NothingComesBeforeWhatCannotBeEnded) {
  one_cannot_be_ended();
  one_fails_too_often();
  EXPECT_EQ(stop.exit_code(), kExitUnkillable);
  EXPECT_THAT(stop.ending().last_words, HasSubstr("withstands SIGKILL"));
}

}  // namespace
}  // namespace cppworker
