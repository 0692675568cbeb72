#include "proxy/admission.hpp"

#include <gtest/gtest.h>

#include <string>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace cppworker {
namespace {

class AdmissionTest : public ::testing::Test {
 protected:
  using Place = Admission::Place;

  static AdmissionLimits limits(std::size_t concurrency, std::size_t queue) {
    AdmissionLimits limits;
    limits.concurrency = concurrency;
    limits.queue_requests = queue;
    return limits;
  }
  Admission::WaiterPtr waiter(const Demand& demand = {}) {
    return std::make_shared<Admission::Waiter>(io_.get_executor(), demand);
  }
  // One that is in.
  Admission::WaiterPtr enter(Admission& admission, const Demand& demand = {}) {
    Admission::WaiterPtr made = waiter(demand);
    EXPECT_EQ(admission.reserve(made, now_).place, Place::kIn);
    return made;
  }

  // Waits for the queued waiter in a coroutine that notes how it went.
  void wait(Admission& admission, std::shared_ptr<Admission::Waiter> waiter, char name) {
    asio::co_spawn(io_, admission.wait(std::move(waiter)), [this, name](std::exception_ptr, bool in) {
      went_ += name;
      went_ += in ? '+' : '-';
    });
  }
  void settle() {
    io_.restart();
    io_.poll();
  }

  asio::io_context io_{1};
  std::string went_;
  Admission::Clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(AdmissionTest, WithoutALimitEverybodyIsIn) {
  Admission admission(limits(0, 0));
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(admission.reserve(waiter()).place, Place::kIn);
  EXPECT_EQ(admission.inside(), 1000u);
}

TEST_F(AdmissionTest, LetsTheQueueInFirstComeFirstServed) {
  Admission admission(limits(1, 2));
  Admission::WaiterPtr inside = enter(admission);
  auto a = waiter(), b = waiter();
  EXPECT_EQ(admission.reserve(a).place, Place::kQueued);
  EXPECT_EQ(admission.reserve(b).place, Place::kQueued);
  EXPECT_EQ(admission.reserve(waiter()).place, Place::kFull);
  wait(admission, a, 'a');
  wait(admission, b, 'b');
  settle();
  EXPECT_EQ(went_, "");
  admission.leave(inside, true);
  settle();
  EXPECT_EQ(went_, "a+");
  admission.leave(a, true);
  settle();
  EXPECT_EQ(went_, "a+b+");
  admission.leave(b, true);
  EXPECT_EQ(admission.inside(), 0u);
}

TEST_F(AdmissionTest, WhoGivesUpLosesItsPlaceToTheNext) {
  Admission admission(limits(1, 2));
  Admission::WaiterPtr inside = enter(admission);
  auto a = waiter(), b = waiter();
  admission.reserve(a);
  admission.reserve(b);
  wait(admission, a, 'a');
  wait(admission, b, 'b');
  settle();
  admission.give_up(a);
  settle();
  EXPECT_EQ(went_, "a-");
  EXPECT_EQ(admission.queued(), 1u);
  admission.leave(inside, true);
  settle();
  EXPECT_EQ(went_, "a-b+");
}

TEST_F(AdmissionTest, GivingUpAfterBeingLetInChangesNothing) {
  Admission admission(limits(1, 1));
  Admission::WaiterPtr inside = enter(admission);
  auto a = waiter();
  admission.reserve(a);
  admission.leave(inside, true);
  admission.give_up(a);
  wait(admission, a, 'a');
  settle();
  EXPECT_EQ(went_, "a+");
  EXPECT_EQ(admission.inside(), 1u);
}

TEST_F(AdmissionTest, AbandoningGivesThePlaceBackWhereverItIs) {
  Admission admission(limits(1, 2));
  Admission::WaiterPtr inside = enter(admission);
  auto queued = waiter(), let_in = waiter();
  admission.reserve(let_in);
  admission.reserve(queued);
  admission.abandon(queued);
  EXPECT_EQ(admission.queued(), 1u);
  admission.leave(inside, true);  // let_in is in now, though nobody waits for it
  EXPECT_EQ(admission.inside(), 1u);
  admission.abandon(let_in);
  EXPECT_EQ(admission.inside(), 0u);
}

TEST_F(AdmissionTest, BoundsTheBytesThatWait) {
  AdmissionLimits few = limits(1, 10);
  few.queue_bytes = 100;
  Admission admission(few);
  Demand large;
  large.bytes = 60;
  enter(admission, large);
  auto first = waiter(large);
  EXPECT_EQ(admission.reserve(first).place, Place::kQueued);
  EXPECT_EQ(admission.reserve(waiter(large)).place, Place::kFull);
  admission.give_up(first);
  EXPECT_EQ(admission.reserve(waiter(large)).place, Place::kQueued);
}

TEST_F(AdmissionTest, WhoComesInWaitsNoMoreWithItsBytes) {
  AdmissionLimits few = limits(1, 10);
  few.queue_bytes = 60;
  Admission admission(few);
  Demand large;
  large.bytes = 60;  // all that there is room for
  Admission::WaiterPtr in = enter(admission, large);
  for (int turn = 0; turn < 3; ++turn) {
    Admission::WaiterPtr next = waiter(large);
    ASSERT_EQ(admission.reserve(next).place, Place::kQueued) << turn;
    EXPECT_EQ(admission.reserve(waiter(large)).place, Place::kFull);
    admission.leave(in, true);
    in = next;
  }
}

TEST_F(AdmissionTest, WhoLeftTheQueueIsNoWorkAhead) {
  Admission admission(limits(1, 10));
  admission.declare_rate(1000);  // a work unit a second
  Demand demand;
  demand.work_milli = 5'000;
  enter(admission, demand);
  Admission::WaiterPtr second = waiter(demand);
  EXPECT_EQ(admission.reserve(second, now_).place, Place::kQueued);
  EXPECT_EQ(admission.expected_wait(now_), std::chrono::seconds(10));
  admission.give_up(second, now_);
  EXPECT_EQ(admission.expected_wait(now_), std::chrono::seconds(5));
}

TEST_F(AdmissionTest, RefusesWhoWouldWaitTooLongAndSaysWhenToComeBack) {
  Admission admission(limits(1, 10));
  admission.declare_rate(1000);  // a work unit a second
  Demand demand;
  demand.work_milli = 30'000;
  demand.longest_wait = std::chrono::seconds(40);
  enter(admission, demand);
  auto second = waiter(demand);
  EXPECT_EQ(admission.reserve(second, now_).place, Place::kQueued) << "30 s ahead of it";
  auto refused = admission.reserve(waiter(demand), now_);
  EXPECT_EQ(refused.place, Place::kTooLong) << "60 s ahead";
  EXPECT_EQ(refused.retry_after, std::chrono::seconds(20)) << "when 40 are left";
  now_ += std::chrono::seconds(20);
  EXPECT_EQ(admission.reserve(waiter(demand), now_).place, Place::kQueued) << "as it was told";
}

// What is under way on the other places is no wait of whoever finds one free.
TEST_F(AdmissionTest, NobodyIsRefusedForTheWaitWhilePlacesAreFree) {
  Admission admission(limits(4, 1));
  admission.declare_rate(1000);
  Demand demand;
  demand.work_milli = 30'000;
  demand.longest_wait = std::chrono::seconds(1);
  for (int i = 0; i < 4; ++i) EXPECT_EQ(admission.reserve(waiter(demand), now_).place, Place::kIn) << i;
  EXPECT_EQ(admission.reserve(waiter(demand), now_).place, Place::kTooLong);
}

TEST_F(AdmissionTest, AFullQueueTellsTheTimeOfOneRequest) {
  Admission admission(limits(1, 1));
  admission.declare_rate(1000);
  Demand demand;
  demand.work_milli = 8'000;
  enter(admission, demand);
  admission.reserve(waiter(demand), now_);
  auto refused = admission.reserve(waiter(demand), now_);
  EXPECT_EQ(refused.place, Place::kFull);
  EXPECT_EQ(refused.retry_after, std::chrono::seconds(8));
}

TEST_F(AdmissionTest, WithoutAKnownRateNobodyIsRefusedForTheWait) {
  Admission admission(limits(1, 1));
  Demand demand;
  demand.work_milli = 1'000'000'000;
  demand.longest_wait = std::chrono::seconds(1);
  enter(admission, demand);
  EXPECT_EQ(admission.reserve(waiter(demand), now_).place, Place::kQueued);
  auto refused = admission.reserve(waiter(demand), now_);
  EXPECT_EQ(refused.place, Place::kFull);
  EXPECT_EQ(refused.retry_after, Admission::kRetryUnknown);
}

}  // namespace
}  // namespace cppworker
