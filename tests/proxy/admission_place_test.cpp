#include "proxy/admission_place.hpp"

#include <gtest/gtest.h>

#include <boost/asio/io_context.hpp>

namespace cppworker {
namespace {

class AdmissionPlaceTest : public testing::Test {
 protected:
  AdmissionPlaceTest() : admission_(one_at_a_time()) {}

  static AdmissionLimits one_at_a_time() {
    AdmissionLimits limits;
    limits.concurrency = 1;
    return limits;
  }
  AdmissionPlace reserve() {
    auto waiter = std::make_shared<Admission::Waiter>(io_.get_executor(), Demand{});
    admission_.reserve(waiter);
    return AdmissionPlace(admission_, std::move(waiter));
  }
  void expect(std::size_t inside, std::size_t queued) {
    EXPECT_EQ(admission_.inside(), inside);
    EXPECT_EQ(admission_.queued(), queued);
  }

  boost::asio::io_context io_;
  Admission admission_;
};

TEST_F(AdmissionPlaceTest, IsGivenBackWhereverItIs) {
  AdmissionPlace inside = reserve();
  {
    AdmissionPlace queued = reserve();
    expect(1, 1);
  }
  expect(1, 0);
  inside = AdmissionPlace();
  expect(0, 0);
}

TEST_F(AdmissionPlaceTest, MovesWithItsOwner) {
  AdmissionPlace first = reserve();
  AdmissionPlace second = std::move(first);
  first.give_back();
  expect(1, 0);
  second = reserve();  // queued behind the one that it replaces
  expect(1, 0);
}

TEST_F(AdmissionPlaceTest, IsLeftOnce) {
  {
    AdmissionPlace place = reserve();
    place.leave(true);
    expect(0, 0);
    AdmissionPlace next = reserve();
    place.leave(true);
    place.give_back();
    expect(1, 0);
  }
  expect(0, 0);
}

}  // namespace
}  // namespace cppworker
