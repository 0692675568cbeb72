// Two admissions on one ledger, as two proxies have them while one takes over from the other.
#include <gtest/gtest.h>

#include <string>
#include <boost/asio/io_context.hpp>

#include "proxy/admission.hpp"
#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

using Place = Admission::Place;

class SharedPlacesTest : public testing::Test {
 protected:
  static constexpr std::uint64_t kOld = 1, kNew = 2;

  Admission make(std::uint64_t owner, std::size_t concurrency = 1, std::size_t queue = 10) {
    AdmissionLimits limits;
    limits.concurrency = concurrency;
    limits.queue_requests = queue;
    return Admission(limits, PlaceShare(*ledger_, ledger_layout::place_group(-1),
                                        {owner, [this, owner] { told_ += owner == kOld ? 'o' : 'n'; }}));
  }
  Admission::WaiterPtr waiter() { return std::make_shared<Admission::Waiter>(io_.get_executor(), Demand{}); }
  // A second later than all before.
  Place reserve(Admission& admission, const Admission::WaiterPtr& waiter) {
    return admission.reserve(waiter, now_ += std::chrono::seconds(1)).place;
  }
  Admission::WaiterPtr enter(Admission& admission) {
    auto made = waiter();
    EXPECT_EQ(reserve(admission, made), Place::kIn);
    return made;
  }
  Admission::WaiterPtr queue(Admission& admission) {
    auto made = waiter();
    EXPECT_EQ(reserve(admission, made), Place::kQueued);
    return made;
  }

  TemporaryFolder folder_;
  std::unique_ptr<Ledger> ledger_ = Ledger::create(folder_ / "ledger", "test").value();
  asio::io_context io_{1};
  std::string told_;  // who had the others told
  Admission::Clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(SharedPlacesTest, ASerialServerGetsOneRequestFromBothTogether) {
  Admission old = make(kOld), next = make(kNew);
  auto first = enter(old);
  auto second = queue(next);
  EXPECT_EQ(next.inside(), 0u);
  EXPECT_EQ(told_, "");
  old.leave(first, true);
  EXPECT_EQ(told_, "o") << "the other one waits for this place";
  next.look_again();
  EXPECT_EQ(next.inside(), 1u);
  queue(old);
  EXPECT_EQ(old.inside(), 0u);
}

TEST_F(SharedPlacesTest, ThoseOfAServerOfSeveralAreSharedToo) {
  Admission old = make(kOld, 3), next = make(kNew, 3);
  enter(old);
  enter(next);
  auto third = enter(old);
  queue(next);
  queue(old);
  old.leave(third, true);
  EXPECT_EQ(old.inside() + next.inside(), 2u) << "the new one's has waited for longer, and isn't told yet";
  next.look_again();
  EXPECT_EQ(next.inside(), 2u);
}

// Else a busy new proxy would keep the last requests of the old one waiting until their time is up.
TEST_F(SharedPlacesTest, ThePlacesGoByAgeWhicheverProxyARequestCameTo) {
  Admission old = make(kOld), next = make(kNew);
  auto first = enter(next);
  auto second = queue(old);
  auto third = queue(next);
  next.leave(first, true);
  EXPECT_EQ(next.inside(), 0u);
  EXPECT_EQ(told_, "n");
  old.look_again();
  EXPECT_EQ(old.inside(), 1u);
  old.leave(second, true);
  EXPECT_EQ(told_, "no");
  next.look_again();
  EXPECT_EQ(next.inside(), 1u);
}

TEST_F(SharedPlacesTest, ANewcomerGoesBehindTheQueueAlthoughAPlaceIsFree) {
  Admission old = make(kOld), next = make(kNew);
  auto first = enter(old);
  queue(next);
  old.leave(first, true);
  queue(next);
  EXPECT_EQ(next.queued(), 2u);
  told_.clear();
  queue(old);
  EXPECT_EQ(told_, "o") << "who was told before may have missed it";
}

TEST_F(SharedPlacesTest, WhoGivesUpKeepsNobodyWaiting) {
  Admission old = make(kOld), next = make(kNew);
  auto first = enter(next);
  auto gone = queue(old);
  queue(next);
  old.give_up(gone);
  next.leave(first, true);
  EXPECT_EQ(next.inside(), 1u);
}

TEST_F(SharedPlacesTest, NorDoesWhoWasRefusedForWantOfRoom) {
  Admission old = make(kOld, 1, 0), next = make(kNew);
  auto first = enter(next);
  EXPECT_EQ(reserve(old, waiter()), Place::kFull);
  queue(next);
  next.leave(first, true);
  EXPECT_EQ(next.inside(), 1u);
}

TEST_F(SharedPlacesTest, APlaceThatWasGivenBackWithoutUseIsFreeForTheOther) {
  Admission old = make(kOld), next = make(kNew);
  auto first = enter(old);
  queue(next);
  old.abandon(first);
  EXPECT_EQ(told_, "o");
  next.look_again();
  EXPECT_EQ(next.inside(), 1u);
}

TEST_F(SharedPlacesTest, ADeadProxysPlaceIsFreeWhenItIsSettled) {
  Admission old = make(kOld), next = make(kNew);
  enter(old);
  queue(next);
  next.look_again();
  EXPECT_EQ(next.inside(), 0u);
  ledger_->settle(kOld);
  next.look_again();
  EXPECT_EQ(next.inside(), 1u);
}

TEST_F(SharedPlacesTest, WithoutALimitNobodyIsCounted) {
  Admission old = make(kOld, 0), next = make(kNew, 0);
  for (int i = 0; i < 100; ++i) enter(i % 2 == 0 ? old : next);
  Admission limited = make(3);
  enter(limited);
}

}  // namespace
}  // namespace cppworker
