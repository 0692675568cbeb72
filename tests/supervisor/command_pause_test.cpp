#include "supervisor/command_pause.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

using namespace std::chrono_literals;

constexpr CommandPause::TimePoint kStart = CommandPause::TimePoint() + 1000h;

TEST(CommandPauseTest, FollowsAStartThatHungAndIsDoubledUpToTenMinutes) {
  CommandPause pause;
  auto now = kStart;
  EXPECT_FALSE(pause.holds(now));
  for (const std::chrono::seconds expected : {60s, 120s, 240s, 480s, 600s, 600s}) {
    pause.tried(false, 5s, now);
    EXPECT_TRUE(pause.holds(now + expected - 1s)) << expected.count();
    EXPECT_FALSE(pause.holds(now + expected)) << expected.count();
    now += expected;
  }
  pause.tried(true, 5ms, now);
  EXPECT_FALSE(pause.holds(now));
  pause.tried(false, 5s, now);
  EXPECT_FALSE(pause.holds(now + 60s)) << "a start in time began it anew";
}

// A script that is missing is refused at once.
TEST(CommandPauseTest, DoesNotFollowAFailureThatHeldNobodyUp) {
  CommandPause pause;
  pause.tried(false, 3ms, kStart);
  EXPECT_FALSE(pause.holds(kStart));
}

}  // namespace
}  // namespace cppworker
