#include "supervisor/readiness.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

TEST(Readiness, NeedsTheLineAndTheAnswer) {
  Readiness readiness(true);
  readiness.launched();
  EXPECT_FALSE(readiness.ready());
  readiness.saw_ready_line();
  EXPECT_FALSE(readiness.ready()) << "TGI prints its line before it binds the port";
  readiness.answered(true);
  EXPECT_TRUE(readiness.ready());
}

TEST(Readiness, AnAnswerAloneIsAWaitingPage) {
  Readiness readiness(true);
  readiness.launched();
  readiness.answered(true);
  EXPECT_FALSE(readiness.ready());
  readiness.saw_ready_line();
  EXPECT_TRUE(readiness.ready());
}

TEST(Readiness, WithoutAPatternTheAnswerDecides) {
  Readiness readiness(false);
  readiness.launched();
  EXPECT_TRUE(readiness.awaits_health());
  readiness.answered(true);
  EXPECT_TRUE(readiness.ready());
}

TEST(Readiness, AsksForHealthOnlyAfterTheLine) {
  Readiness readiness(true);
  EXPECT_FALSE(readiness.awaits_health());
  readiness.launched();
  EXPECT_FALSE(readiness.awaits_health());
  readiness.saw_ready_line();
  EXPECT_TRUE(readiness.awaits_health());
  readiness.answered(true);
  EXPECT_FALSE(readiness.awaits_health());
}

TEST(Readiness, IsALevelThatRepeatedLinesDoNotChange) {
  Readiness readiness(true);
  readiness.launched();
  readiness.saw_ready_line();
  readiness.answered(true);
  readiness.saw_ready_line();
  EXPECT_TRUE(readiness.ready());
  readiness.answered(false);
  EXPECT_FALSE(readiness.ready());
  readiness.answered(true);
  EXPECT_TRUE(readiness.ready());
}

TEST(Readiness, EndsWithTheProcess) {
  Readiness readiness(true);
  readiness.launched();
  readiness.saw_ready_line();
  readiness.answered(true);
  readiness.exited();
  EXPECT_FALSE(readiness.ready());
}

TEST(Readiness, StartsAnewWithEachLaunch) {
  Readiness readiness(true);
  readiness.launched();
  readiness.saw_ready_line();
  readiness.answered(true);
  readiness.exited();
  readiness.saw_ready_line();
  readiness.answered(true);
  readiness.launched();
  EXPECT_FALSE(readiness.ready()) << "what a dead server's descendants said doesn't count for the next one";
  readiness.answered(true);
  EXPECT_FALSE(readiness.ready());
}

}  // namespace
}  // namespace cppworker
