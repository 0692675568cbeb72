#include "metrics/report_schedule.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

using namespace std::chrono_literals;

class ReportScheduleTest : public testing::Test {
 protected:
  ReportSchedule::Time at(std::chrono::milliseconds since_start) {
    return ReportSchedule::Time() + 100h + since_start;
  }
  ReportSchedule schedule_{ReportTimes{}};
};

TEST_F(ReportScheduleTest, FirstReportIsDueAtOnce) {
  EXPECT_TRUE(schedule_.due(at(0ms), false));
}

TEST_F(ReportScheduleTest, EverySecondWhileSomethingChanges) {
  schedule_.begun(at(0ms));
  EXPECT_FALSE(schedule_.due(at(999ms), true));
  EXPECT_TRUE(schedule_.due(at(1s), true));
}

TEST_F(ReportScheduleTest, EveryTenSecondsWhileNothingDoes) {
  schedule_.begun(at(0ms));
  EXPECT_FALSE(schedule_.due(at(9999ms), false));
  EXPECT_TRUE(schedule_.due(at(10s), false));
}

TEST_F(ReportScheduleTest, AtOnceWhenAskedAndOnlyOnce) {
  schedule_.begun(at(0ms));
  schedule_.ask();
  EXPECT_TRUE(schedule_.due(at(1ms), false));
  schedule_.begun(at(1ms));
  EXPECT_FALSE(schedule_.due(at(2ms), false));
}

TEST_F(ReportScheduleTest, AskedWhileAReportIsUnderWayMeansAnotherOne) {
  schedule_.begun(at(0ms));
  schedule_.ask();
  EXPECT_TRUE(schedule_.asked());
  EXPECT_TRUE(schedule_.due(at(0ms), false));
}

}  // namespace
}  // namespace cppworker
