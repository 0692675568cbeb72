#include "metrics/numbering_watch.hpp"

#include <gmock/gmock.h>

namespace cppworker {
namespace {

using testing::HasSubstr;

class NumberingWatchTest : public testing::Test {
 protected:
  // What the last of so many in a row has to say.
  std::string told(int requests) {
    std::optional<std::string> said;
    for (int i = 0; i < requests; ++i) said = watch.too_old(12, 40'017, now);
    return said.value_or("");
  }

  NumberingWatch watch;
  NumberingWatch::Time now{};
};

TEST_F(NumberingWatchTest, SaysWhatMayHaveHappenedAndWhatHelps) {
  EXPECT_EQ(told(NumberingWatch::kSuspicious - 1), "");
  const std::string said = told(1);
  EXPECT_THAT(said, HasSubstr("reqnum 12 is far below the window's 40017"));
  EXPECT_THAT(said, HasSubstr("has the autoscaler's numbering restarted?"));
  EXPECT_THAT(said, HasSubstr("remove the file ledger"));
}

TEST_F(NumberingWatchTest, SuspectsNothingWhileOthersAreAccepted) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(told(NumberingWatch::kSuspicious - 1), "");
    watch.accepted();
  }
}

TEST_F(NumberingWatchTest, RepeatsItselfAfterAWhile) {
  EXPECT_NE(told(NumberingWatch::kSuspicious), "");
  now += NumberingWatch::kPause - std::chrono::seconds(1);
  EXPECT_EQ(told(100), "");
  now += std::chrono::seconds(1);
  EXPECT_NE(told(1), "") << "it never ceased meanwhile";
}

}  // namespace
}  // namespace cppworker
