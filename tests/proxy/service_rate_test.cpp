#include "proxy/service_rate.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

class ServiceRateTest : public ::testing::Test {
 protected:
  void pass(double seconds) {
    now_ += std::chrono::duration_cast<ServiceRate::Clock::duration>(std::chrono::duration<double>(seconds));
  }
  void take(ServiceRate& rate, std::int64_t work) {
    rate.arrive(now_, work);
    rate.begin(now_, work);
  }
  double backlog(const ServiceRate& rate) { return rate.backlog(now_).count(); }

  ServiceRate::Clock::time_point now_{std::chrono::hours(1)};
};

TEST_F(ServiceRateTest, KnowsNothingAtFirst) {
  ServiceRate rate(true);
  take(rate, 1000);
  EXPECT_EQ(rate.per_second(), 0);
  EXPECT_EQ(backlog(rate), 0);
}

TEST_F(ServiceRateTest, MeasuresWhatASerialServerDoes) {
  ServiceRate rate(true);
  rate.declare(9999);
  for (int i = 0; i < ServiceRate::kEnough; ++i) {
    EXPECT_EQ(rate.per_second(), 9999) << "until enough is measured";
    take(rate, 500);
    pass(1);
    rate.end(now_, 500, true);
    pass(100);  // idle time is nobody's speed
  }
  EXPECT_NEAR(rate.per_second(), 500, 1);
}

TEST_F(ServiceRateTest, HalfIdleDoesNotLookHalfAsFast) {
  ServiceRate rate(false);
  rate.declare(2000);
  for (int i = 0; i < 5; ++i) {
    take(rate, 500);
    pass(1);
    rate.end(now_, 500, true);
  }
  EXPECT_EQ(rate.per_second(), 2000);
  for (int i = 0; i < 100; ++i) {
    take(rate, 9000);
    pass(1);
    rate.end(now_, 9000, true);
  }
  EXPECT_NEAR(rate.per_second(), 9000, 2000) << "more than was declared is believed";
}

TEST_F(ServiceRateTest, TheBacklogDrainsWhileTheServerWorks) {
  ServiceRate rate(true);
  rate.declare(1000);
  take(rate, 10'000);
  EXPECT_DOUBLE_EQ(backlog(rate), 10);
  pass(9);
  EXPECT_NEAR(backlog(rate), 1, 1e-6) << "nearly done counts as nearly nothing";
  pass(9);
  EXPECT_EQ(backlog(rate), 0) << "and never as less";
}

TEST_F(ServiceRateTest, WhatIsQueuedDoesNotDrain) {
  ServiceRate rate(true);
  rate.declare(1000);
  take(rate, 2'000);
  rate.arrive(now_, 5'000);
  EXPECT_DOUBLE_EQ(backlog(rate), 7);
  pass(60);
  EXPECT_DOUBLE_EQ(backlog(rate), 5);
  rate.give_up(now_, 5'000);
  EXPECT_EQ(backlog(rate), 0);
  EXPECT_EQ(rate.outstanding(), 1u);
}

TEST_F(ServiceRateTest, ARequestThatEndsEarlyTakesItsWorkAlong) {
  ServiceRate rate(true);
  rate.declare(1000);
  take(rate, 100'000);
  take(rate, 3'000);
  rate.end(now_, 100'000, false);
  EXPECT_DOUBLE_EQ(backlog(rate), 3);
}

}  // namespace
}  // namespace cppworker
