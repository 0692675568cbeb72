#include "proxy/pricing.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

TEST(CostMilliUnits, AreThoseOfANumberOrOfAStringThatHoldsOne) {
  EXPECT_EQ(cost_milli_units("256"), 256'000);
  EXPECT_EQ(cost_milli_units("300.5"), 300'500);
  EXPECT_EQ(cost_milli_units("1.5e3"), 1'500'000);
  EXPECT_EQ(cost_milli_units("\"256\""), 256'000);
  EXPECT_EQ(cost_milli_units("\"0.25\""), 250);
}

TEST(CostMilliUnits, AreNoMoreThanARequestMayCost) {
  EXPECT_EQ(cost_milli_units("1e300"), kMostWorkMilli);
}

TEST(CostMilliUnits, AreUnknownWhereTheCostSaysNothing) {
  for (const char* cost : {"", "0", "-0.0", "-5", "\"\"", "\"", "\"many\"", "\"12 tokens\"", "\"nan\"",
                           "\"inf", "1e999", "\"\\u0031\""})
    EXPECT_EQ(cost_milli_units(cost), std::nullopt) << cost;
}

TEST(WorkInQueue, IsTheFormulasUpToTenTimesTheSignedCost) {
  EXPECT_EQ(work_in_queue(3000, {}), 3000);
  EXPECT_EQ(work_in_queue(kMostWorkMilli, {}), kMostWorkMilli);
  EXPECT_EQ(work_in_queue(3000, 17'000), 3000);
  EXPECT_EQ(work_in_queue(170'001, 17'000), 170'000);
  EXPECT_EQ(work_in_queue(kMostWorkMilli, kMostWorkMilli), kMostWorkMilli);
}

}  // namespace
}  // namespace cppworker
