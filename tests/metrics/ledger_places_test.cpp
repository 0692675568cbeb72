#include "metrics/ledger_places.hpp"

#include <gtest/gtest.h>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

class LedgerPlacesTest : public LedgerTest {
 protected:
  static constexpr std::uint64_t kOld = 11, kNew = 12;
  static constexpr std::size_t kGroup = ledger_layout::place_group(-1);

  // `owner` has that many inside and wants no more.
  PlaceAnswer enter(std::uint64_t owner, std::uint64_t inside, std::uint64_t limit = 1) {
    return ledger_->share_places({kGroup, owner, limit, inside, 0});
  }
  PlaceAnswer want(std::uint64_t owner, std::uint64_t inside, std::int64_t since, std::uint64_t limit = 1) {
    return ledger_->share_places({kGroup, owner, limit, inside, since});
  }
};

TEST_F(LedgerPlacesTest, TwoProxiesHaveNoMoreThanTheLimitTogether) {
  EXPECT_TRUE(want(kOld, 0, 100).granted);
  EXPECT_FALSE(want(kNew, 0, 200).granted);
  EXPECT_TRUE(enter(kOld, 0).tell_others) << "one waits for the place";
  EXPECT_TRUE(want(kNew, 0, 200).granted);
  EXPECT_FALSE(want(kOld, 0, 300).granted);
}

TEST_F(LedgerPlacesTest, AnyNumberOfPlacesIsShared) {
  EXPECT_TRUE(want(kOld, 0, 100, 3).granted);
  EXPECT_TRUE(want(kOld, 1, 101, 3).granted);
  EXPECT_TRUE(want(kNew, 0, 102, 3).granted);
  EXPECT_FALSE(want(kNew, 1, 103, 3).granted);
  EXPECT_FALSE(want(kOld, 2, 104, 3).granted);
}

TEST_F(LedgerPlacesTest, WhoHasWaitedForLongerGoesFirst) {
  EXPECT_TRUE(want(kNew, 0, 100).granted);
  EXPECT_FALSE(want(kOld, 0, 200).granted);
  // The next one of the new proxy's own queue came later.
  PlaceAnswer answer = want(kNew, 0, 300);
  EXPECT_FALSE(answer.granted);
  EXPECT_TRUE(answer.tell_others) << "the place is free, and nobody else says so";
  EXPECT_TRUE(want(kOld, 0, 200).granted);
}

TEST_F(LedgerPlacesTest, WhoNoLongerWaitsKeepsNobodyWaiting) {
  EXPECT_TRUE(want(kNew, 0, 100).granted);
  EXPECT_FALSE(want(kOld, 0, 200).granted);
  enter(kOld, 0);
  EXPECT_TRUE(want(kNew, 0, 300).granted);
}

TEST_F(LedgerPlacesTest, NobodyIsToldWhoDoesNotWait) {
  want(kOld, 0, 100);
  EXPECT_FALSE(enter(kOld, 0).tell_others);
  want(kOld, 0, 100);
  want(kNew, 0, 200);
  EXPECT_FALSE(want(kOld, 1, 300).tell_others) << "there is no place";
}

TEST_F(LedgerPlacesTest, EnteringTheSameTwiceIsEnteringItOnce) {
  enter(kOld, 1, 2);
  enter(kOld, 1, 2);
  EXPECT_TRUE(want(kNew, 0, 100, 2).granted);
}

TEST_F(LedgerPlacesTest, LimitsOfEndpointsAreApart) {
  EXPECT_TRUE(want(kOld, 0, 100).granted);
  EXPECT_TRUE(ledger_->share_places({ledger_layout::place_group(3), kNew, 1, 0, 100}).granted);
}

TEST_F(LedgerPlacesTest, ADeadProxysPlacesAreFreeWhenItIsSettled) {
  EXPECT_TRUE(want(kOld, 0, 100).granted);
  EXPECT_FALSE(want(kNew, 0, 200).granted);
  ledger_->settle(kOld);
  EXPECT_TRUE(want(kNew, 0, 200).granted);
}

TEST_F(LedgerPlacesTest, AndItsQueueKeepsNobodyWaiting) {
  EXPECT_TRUE(want(kNew, 0, 100).granted);
  EXPECT_FALSE(want(kOld, 0, 150).granted);
  ledger_->settle_all_except(kNew);
  EXPECT_TRUE(want(kNew, 0, 200).granted);
}

// More than ever serve at once; refusing all would stop the worker for good.
TEST_F(LedgerPlacesTest, WhoFindsNoRoomInTheTableGoesByItsOwnFigures) {
  for (std::uint64_t owner = 1; owner <= ledger_layout::kProxies; ++owner) enter(owner, 1, 100);
  EXPECT_TRUE(want(99, 0, 100, 1).granted);
  EXPECT_FALSE(want(99, 1, 100, 1).granted);
}

TEST_F(LedgerPlacesTest, TheOwnerNobodyIsABug) {
  EXPECT_THROW(enter(0, 0), std::logic_error);
}

}  // namespace
}  // namespace cppworker
