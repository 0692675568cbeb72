#include "metrics/report_progress.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

class ReportProgressTest : public testing::Test {
 protected:
  ReportProgressTest() {
    facts_.load_number = 1;
    facts_.loadtime = 30;
    facts_.disk_used_gib = 100;
  }
  nlohmann::json report() { return worker_status(progress_.prepare(facts_), books_); }
  void deliver() {
    WorkerFacts prepared = progress_.prepare(facts_);
    progress_.acknowledged(prepared, worker_status(prepared, books_));
  }

  WorkerFacts facts_;
  LedgerSnapshot books_;
  ReportProgress progress_;
};

TEST_F(ReportProgressTest, LoadtimeIsToldUntilOneReportGotThroughAndThenNoMore) {
  EXPECT_EQ(report()["loadtime"], 30);
  EXPECT_EQ(report()["loadtime"], 30) << "the one before was lost";
  deliver();
  EXPECT_EQ(report()["loadtime"], 0);
}

TEST_F(ReportProgressTest, NextLoadHasALoadtimeOfItsOwn) {
  deliver();
  facts_.load_number = 2;
  facts_.loadtime = 40;
  EXPECT_EQ(report()["loadtime"], 40);
  deliver();
  EXPECT_EQ(report()["loadtime"], 0);
}

TEST_F(ReportProgressTest, ReportsBeforeTheLoadDoNotUseUpItsLoadtime) {
  facts_.load_number = 0;
  facts_.loadtime.reset();
  deliver();
  facts_.load_number = 1;
  facts_.loadtime = 30;
  EXPECT_EQ(report()["loadtime"], 30);
}

TEST_F(ReportProgressTest, DiskGrowthIsConsumedByReportsThatGetThroughAlone) {
  EXPECT_EQ(report()["additional_disk_usage"], 0) << "nothing to compare with";
  deliver();
  facts_.disk_used_gib = 101.5;
  EXPECT_EQ(report()["additional_disk_usage"], 1.5) << "lost";
  facts_.disk_used_gib = 102;
  EXPECT_EQ(report()["additional_disk_usage"], 2);
  deliver();
  EXPECT_EQ(report()["additional_disk_usage"], 0);
  facts_.disk_used_gib.reset();
  EXPECT_EQ(report()["additional_disk_usage"], 0) << "can't be read";
}

TEST_F(ReportProgressTest, FirstReportIsNewsAndTheSameAgainIsNot) {
  facts_.loadtime.reset();
  EXPECT_TRUE(progress_.says_something_new(report()));
  deliver();
  EXPECT_FALSE(progress_.says_something_new(report()));
}

TEST_F(ReportProgressTest, LoadsAreNewsWhileTheyAreNotZero) {
  deliver();
  books_.totals.served.work_milli = 1000;
  EXPECT_TRUE(progress_.says_something_new(report()));
  deliver();
  EXPECT_TRUE(progress_.says_something_new(report())) << "another 1000 since the last";
  books_.acknowledged.served_milli = 1000;
  EXPECT_FALSE(progress_.says_something_new(report())) << "zero again is no news";
}

TEST_F(ReportProgressTest, EachLevelThatMovesIsNews) {
  deliver();
  WorkerFacts before = facts_;
  facts_.error_msg = "shard died";
  EXPECT_TRUE(progress_.says_something_new(report()));
  facts_ = before;
  facts_.max_perf = 5;
  EXPECT_TRUE(progress_.says_something_new(report()));
  facts_ = before;
  facts_.url = "http://198.51.100.7:1";
  EXPECT_TRUE(progress_.says_something_new(report()));
  facts_ = before;
  books_.in_flight_amount.requests = 1;
  EXPECT_TRUE(progress_.says_something_new(report()));
}

TEST_F(ReportProgressTest, DiskGrowthAloneIsNoNews) {
  deliver();
  facts_.disk_used_gib = 120;
  EXPECT_FALSE(progress_.says_something_new(report()));
}

}  // namespace
}  // namespace cppworker
