#include "metrics/replay_window.hpp"

#include <gtest/gtest.h>

#include <limits>
#include <random>
#include <set>
#include <vector>

namespace cppworker {
namespace {

constexpr auto kFresh = ReplayVerdict::kFresh;
constexpr auto kReplayed = ReplayVerdict::kReplayed;
constexpr auto kStale = ReplayVerdict::kStale;
constexpr std::uint64_t kHuge = std::numeric_limits<std::uint64_t>::max();

struct Step {
  std::uint64_t reqnum;
  ReplayVerdict verdict;
};

struct Case {
  const char* name;
  std::vector<Step> steps;
};

void PrintTo(const Case& c, std::ostream* out) {
  *out << c.name;
}

class ReplayWindowTable : public testing::TestWithParam<Case> {};

TEST_P(ReplayWindowTable, JudgesEachRequestOfTheSequence) {
  ReplayWindow window;
  for (const Step& step : GetParam().steps) {
    EXPECT_EQ(judge(window, step.reqnum), step.verdict) << "reqnum " << step.reqnum;
    if (judge(window, step.reqnum) == kFresh) window = remember(window, step.reqnum);
  }
}

INSTANTIATE_TEST_SUITE_P(
    Sequences, ReplayWindowTable,
    testing::Values(
        Case{"FirstIsFreshWhateverItIs", {{500, kFresh}, {500, kReplayed}}},
        Case{"ZeroIsANumberLikeAnyOther", {{0, kFresh}, {0, kReplayed}, {1, kFresh}, {0, kReplayed}}},
        Case{"ZeroAfterOthers", {{3, kFresh}, {0, kFresh}, {0, kReplayed}}},
        Case{"EdgeOfTheWindow",
             {{1000, kFresh}, {900, kFresh}, {899, kStale}, {900, kReplayed}, {901, kFresh}}},
        Case{"OutOfOrderOnceEach",
             {{10, kFresh}, {12, kFresh}, {11, kFresh}, {11, kReplayed}, {12, kReplayed}}},
        Case{"WordBorders",
             {{100, kFresh},
              {164, kFresh},
              {100, kReplayed},
              {101, kFresh},
              {165, kFresh},
              {100, kReplayed},
              {101, kReplayed},
              {102, kFresh}}},
        Case{"StillKnownAtTheEdge", {{0, kFresh}, {100, kFresh}, {0, kReplayed}, {101, kFresh}, {0, kStale}}},
        Case{"JumpBy64", {{5, kFresh}, {69, kFresh}, {5, kReplayed}, {6, kFresh}}},
        Case{"JumpBy128", {{5, kFresh}, {133, kFresh}, {33, kFresh}, {5, kStale}}},
        Case{"HugeJump",
             {{1, kFresh},
              {kHuge, kFresh},
              {1, kStale},
              {kHuge, kReplayed},
              {kHuge - 100, kFresh},
              {kHuge - 101, kStale}}}),
    [](const auto& info) { return info.param.name; });

TEST(ReplayWindow, AgreesWithASetThatNeverForgets) {
  std::mt19937_64 random(20240601);
  ReplayWindow window;
  std::set<std::uint64_t> accepted;
  std::uint64_t around = 1000;
  for (int i = 0; i < 20000; ++i) {
    around += random() % 3;
    if (random() % 500 == 0) around += random() % 200;
    std::uint64_t reqnum = around - random() % 130;
    ReplayVerdict expected = kFresh;
    if (!accepted.empty() && reqnum + kReplayReach < *accepted.rbegin())
      expected = kStale;
    else if (accepted.contains(reqnum))
      expected = kReplayed;
    ASSERT_EQ(judge(window, reqnum), expected) << "step " << i << ", reqnum " << reqnum;
    if (expected != kFresh) continue;
    window = remember(window, reqnum);
    accepted.insert(reqnum);
  }
}

}  // namespace
}  // namespace cppworker
