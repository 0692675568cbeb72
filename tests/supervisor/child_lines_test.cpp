#include "supervisor/child_lines.hpp"

#include <gmock/gmock.h>

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::SizeIs;

class ChildLinesTest : public testing::Test {
 protected:
  void add(int count) {
    for (int i = 0; i < count; ++i) lines.add("line", now);
  }

  std::vector<std::string> written;
  ChildLines lines{[this](std::string_view line) { written.emplace_back(line); }};
  ChildLines::TimePoint now = ChildLines::TimePoint() + 1000h;
};

TEST_F(ChildLinesTest, PassesOnWhatAServerOrdinarilyPrints) {
  for (int second = 0; second < 60; ++second) {
    add(50);
    lines.tick(now += 1s);
  }
  EXPECT_THAT(written, SizeIs(3000));
}

TEST_F(ChildLinesTest, CapsAFloodAndSaysHowManyItLeftOut) {
  add(100'000);
  EXPECT_THAT(written, SizeIs(500));
  lines.tick(now += 1s);
  ASSERT_THAT(written, SizeIs(501));
  EXPECT_EQ(written.back(), "99500 lines suppressed");
  written.clear();
  add(150);
  EXPECT_THAT(written, SizeIs(100));
  lines.tick(now += 1s);
  EXPECT_EQ(written.back(), "50 lines suppressed");
  lines.tick(now += 1s);
  EXPECT_THAT(written, SizeIs(101)) << "once";
}

}  // namespace
}  // namespace cppworker
