#include "metrics/load_report.hpp"

#include <gmock/gmock.h>

#include <random>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

class LoadReportTest : public LedgerTest {
 protected:
  LoadReportTest() {
    facts_.id = 1234;
    facts_.mtoken = "secret";
    facts_.version = "0.1.0";
    facts_.url = "https://198.51.100.7:40123";
  }

  // Sends a report, which gets through.
  json deliver() {
    LedgerSnapshot books = ledger_->snapshot();
    json report = worker_status(facts_, books);
    ledger_->acknowledge(books.totals);
    return report;
  }
  json report() { return worker_status(facts_, ledger_->snapshot()); }

  WorkerFacts facts_;
};

TEST_F(LoadReportTest, HasTheFieldsOfTheNewestGenerationAndNoOthers) {
  Acceptance wanted = request(300'000, 77);
  wanted.reqnum = 5;
  accept(wanted);
  facts_.loadtime = 12.5;
  facts_.max_perf = 1000;
  facts_.max_capacity = 8192;
  facts_.additional_disk_usage_gib = 0.25;
  EXPECT_EQ(report(), json::parse(R"({
    "id": 1234, "mtoken": "secret", "version": "0.1.0", "url": "https://198.51.100.7:40123",
    "loadtime": 12.5, "cur_load": 300, "new_load": 300, "rej_load": 0, "max_perf": 1000, "cur_perf": 0,
    "error_msg": "", "num_requests_working": 1, "num_requests_recieved": 1, "working_request_idxs": [77],
    "additional_disk_usage": 0.25, "cur_capacity": 300, "max_capacity": 8192})"));
}

TEST_F(LoadReportTest, WholeNumbersAreSpelledAsIntegersAndOthersExactly) {
  accept(request(1500));
  facts_.max_perf = 12.75;
  std::string text = report().dump();
  EXPECT_NE(text.find("\"cur_load\":1.5,"), std::string::npos) << text;
  EXPECT_NE(text.find("\"max_perf\":12.75,"), std::string::npos) << text;
  EXPECT_NE(text.find("\"loadtime\":0,"), std::string::npos) << text;
  EXPECT_NE(text.find("\"additional_disk_usage\":0,"), std::string::npos) << text;
}

TEST_F(LoadReportTest, NumbersThatJsonDoesNotHaveBecomeZero) {
  EXPECT_EQ(json_number(std::nan("")).dump(), "0");
  EXPECT_EQ(json_number(INFINITY).dump(), "0");
  EXPECT_EQ(json_number(-3.0).dump(), "-3");
  EXPECT_EQ(json_number(1e300).dump(), "1e+300");
}

TEST_F(LoadReportTest, RequestsWithoutAnIdxAreCountedAndNotListed) {
  accept(request(1000));
  accept(request(1000, 0));
  EXPECT_EQ(report()["num_requests_working"], 2);
  EXPECT_EQ(report()["working_request_idxs"], json({0}));
}

TEST_F(LoadReportTest, CapacityIsZeroWhereTheServersLimitIsUnknown) {
  accept(request(5000));
  EXPECT_EQ(report()["cur_capacity"], 0);
  EXPECT_EQ(report()["max_capacity"], 0);
}

TEST_F(LoadReportTest, LoadIsReportedOnceByReportsThatGetThrough) {
  Ticket ticket = accept(request(4000));
  ledger_->reject(-1, 2000, {});
  json first = deliver();
  EXPECT_EQ(first["new_load"], 4);
  EXPECT_EQ(first["rej_load"], 2);
  EXPECT_EQ(first["cur_perf"], 0);
  ledger_->finish(ticket, {Outcome::kServed, 1, {}});
  json second = deliver();
  EXPECT_EQ(second["new_load"], 0);
  EXPECT_EQ(second["rej_load"], 0);
  EXPECT_EQ(second["cur_perf"], 4);
  EXPECT_EQ(second["cur_load"], 0);
  EXPECT_EQ(deliver()["cur_perf"], 0);
}

TEST_F(LoadReportTest, LostReportsLoadIsInTheNextOne) {
  accept(request(4000));
  EXPECT_EQ(report()["new_load"], 4) << "this one gets lost";
  accept(request(3000));
  EXPECT_EQ(deliver()["new_load"], 7);
  EXPECT_EQ(deliver()["new_load"], 0);
}

TEST_F(LoadReportTest, LoadThatCameWhileAReportWasUnderWayIsInTheNextOne) {
  accept(request(4000));
  LedgerSnapshot sent = ledger_->snapshot();
  accept(request(3000));
  ledger_->acknowledge(sent.totals);
  EXPECT_EQ(report()["new_load"], 3);
}

TEST_F(LoadReportTest, ReportAcknowledgedTwiceOrLateChangesNothing) {
  accept(request(4000));
  LedgerSnapshot early = ledger_->snapshot();
  accept(request(3000));
  ledger_->acknowledge(ledger_->snapshot().totals);
  ledger_->acknowledge(early.totals);
  ledger_->acknowledge(early.totals);
  EXPECT_EQ(report()["new_load"], 0);
}

TEST_F(LoadReportTest, CancellingWhatWasReportedTakesItsLoadBack) {
  Ticket ticket = accept(request(4000));
  EXPECT_EQ(deliver()["new_load"], 4);
  ledger_->finish(ticket, {Outcome::kCancelled, 1, {}});
  EXPECT_EQ(deliver()["new_load"], -4);
}

TEST_F(LoadReportTest, WhatTheAutoscalerHeardSumsUpWhicheverReportsGetLost) {
  std::mt19937 random(99);
  std::vector<Ticket> open;
  double new_load = 0, rejected = 0, served = 0;
  for (int i = 0; i < 2000; ++i) {
    if (random() % 5 == 0)
      ledger_->reject(-1, static_cast<std::int64_t>(random() % 100000), {});
    else
      open.push_back(accept(request(static_cast<std::int64_t>(random() % 100000))));
    if (open.size() > random() % 20) {
      ledger_->finish(open.back(), {static_cast<Outcome>(random() % 3), 1, {}});
      open.pop_back();
    }
    LedgerSnapshot books = ledger_->snapshot();
    json sent = worker_status(facts_, books);
    if (random() % 3 == 0) continue;  // lost
    new_load += sent["new_load"].get<double>();
    rejected += sent["rej_load"].get<double>();
    served += sent["cur_perf"].get<double>();
    ledger_->acknowledge(books.totals);
  }
  json last = deliver();
  new_load += last["new_load"].get<double>();
  rejected += last["rej_load"].get<double>();
  served += last["cur_perf"].get<double>();
  LedgerSnapshot books = ledger_->snapshot();
  auto units = [](std::int64_t milli) { return static_cast<double>(milli) / 1000; };
  EXPECT_NEAR(new_load,
              units(books.totals.served.work_milli + books.totals.errored.work_milli +
                    books.in_flight_amount.work_milli),
              1e-3);
  EXPECT_NEAR(rejected, units(books.totals.rejected.work_milli), 1e-3);
  EXPECT_NEAR(served, units(books.totals.served.work_milli), 1e-3);
}

TEST_F(LoadReportTest, DeleteRequestsHasItsFields) {
  EXPECT_EQ(delete_requests(facts_, {1, -2}, true),
            json::parse(R"({"worker_id":1234,"mtoken":"secret","request_idxs":[1,-2],"success":true})"));
  EXPECT_EQ(delete_requests(facts_, {3}, false)["success"], false);
}

}  // namespace
}  // namespace cppworker
