#include "proxy/admission.hpp"

#include <gtest/gtest.h>

#include <string>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

namespace cppworker {
namespace {

class AdmissionTest : public ::testing::Test {
 protected:
  std::shared_ptr<Admission::Waiter> waiter() {
    return std::make_shared<Admission::Waiter>(io_.get_executor());
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
};

TEST_F(AdmissionTest, WithoutALimitEverybodyIsIn) {
  Admission admission(0, 0);
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(admission.reserve(waiter()), Admission::Place::kIn);
  EXPECT_EQ(admission.inside(), 1000u);
}

TEST_F(AdmissionTest, LetsTheQueueInFirstComeFirstServed) {
  Admission admission(1, 2);
  EXPECT_EQ(admission.reserve(waiter()), Admission::Place::kIn);
  auto a = waiter(), b = waiter();
  EXPECT_EQ(admission.reserve(a), Admission::Place::kQueued);
  EXPECT_EQ(admission.reserve(b), Admission::Place::kQueued);
  EXPECT_EQ(admission.reserve(waiter()), Admission::Place::kFull);
  wait(admission, a, 'a');
  wait(admission, b, 'b');
  settle();
  EXPECT_EQ(went_, "");
  admission.leave();
  settle();
  EXPECT_EQ(went_, "a+");
  admission.leave();
  settle();
  EXPECT_EQ(went_, "a+b+");
  admission.leave();
  EXPECT_EQ(admission.inside(), 0u);
}

TEST_F(AdmissionTest, WhoGivesUpLosesItsPlaceToTheNext) {
  Admission admission(1, 2);
  admission.reserve(waiter());
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
  admission.leave();
  settle();
  EXPECT_EQ(went_, "a-b+");
}

TEST_F(AdmissionTest, GivingUpAfterBeingLetInChangesNothing) {
  Admission admission(1, 1);
  admission.reserve(waiter());
  auto a = waiter();
  admission.reserve(a);
  admission.leave();
  admission.give_up(a);
  wait(admission, a, 'a');
  settle();
  EXPECT_EQ(went_, "a+");
  EXPECT_EQ(admission.inside(), 1u);
}

TEST_F(AdmissionTest, AbandoningGivesThePlaceBackWhereverItIs) {
  Admission admission(1, 2);
  admission.reserve(waiter());
  auto queued = waiter(), let_in = waiter();
  admission.reserve(let_in);
  admission.reserve(queued);
  admission.abandon(queued);
  EXPECT_EQ(admission.queued(), 1u);
  admission.leave();  // let_in is in now, though nobody waits for it
  EXPECT_EQ(admission.inside(), 1u);
  admission.abandon(let_in);
  EXPECT_EQ(admission.inside(), 0u);
}

}  // namespace
}  // namespace cppworker
