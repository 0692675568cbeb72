#include "metrics/load_reporter.hpp"

#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <set>
#include <sstream>
#include <boost/asio/bind_cancellation_slot.hpp>
#include <boost/asio/cancellation_signal.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;

// Remembers what it was told; fails, throws, or lets something happen meanwhile, as the test wants.
class FakeAutoscaler : public AutoscalerClient {
 public:
  Awaitable<Result<void>> post_status(json report) override {
    statuses.push_back(report);
    if (during_status) during_status();
    if (status_throws) throw std::runtime_error("out of memory");
    if (status_fails) co_return fail("cannot report: refused");
    co_return Result<void>();
  }
  Awaitable<Result<Reception>> post_deleted(json request) override {
    ++deletions;
    bool success = request["success"];
    if (success ? success_fails : failure_fails) co_return fail("cannot report: refused");
    for (std::int64_t idx : request["request_idxs"])
      if (refused.contains(idx)) co_return Reception{"it answered 422"};
    for (std::int64_t idx : request["request_idxs"]) (success ? succeeded : failed).push_back(idx);
    largest = std::max(largest, request["request_idxs"].size());
    co_return Reception();
  }
  Awaitable<Result<std::string>> fetch_public_key() override { co_return fail("not asked for here"); }

  std::function<void()> during_status;
  bool status_fails = false, status_throws = false, success_fails = false, failure_fails = false;
  std::vector<json> statuses;
  std::vector<std::int64_t> succeeded, failed;
  std::set<std::int64_t> refused;  // a message with one of these in it is
  int deletions = 0;
  std::size_t largest = 0;
};

class LoadReporterTest : public LedgerTest {
 protected:
  // Looks at the books every millisecond; what doesn't change is told again when a test asks for it alone.
  static LoadReporterTuning eager() { return {{1ms, 1h}, 1ms, 1ms, 1000}; }

  ~LoadReporterTest() override {
    if (!reporter_) return;
    reporter_->stop();
    run_until([this] { return ended_; });
  }

  void start(LoadReporterTuning tuning = eager()) {
    reporter_.emplace(
        io_.get_executor(), *ledger_, autoscaler_, [this] { return facts_; }, tuning);
    asio::co_spawn(io_, reporter_->run(),
                   asio::bind_cancellation_slot(cancel_.slot(), [this](std::exception_ptr error) {
                     EXPECT_FALSE(error);
                     ended_ = true;
                   }));
  }

  // Lets the loops run until it is so; a test that waits in vain fails here.
  void run_until(const std::function<bool()>& so) {
    auto give_up = std::chrono::steady_clock::now() + 20s;
    while (!so()) {
      ASSERT_LT(std::chrono::steady_clock::now(), give_up);
      io_.run_one_for(50ms);
      if (io_.stopped()) io_.restart();
    }
  }
  void run_until_reports(std::size_t n) {
    run_until([this, n] { return autoscaler_.statuses.size() >= n; });
  }

  asio::io_context io_;
  FakeAutoscaler autoscaler_;
  WorkerFacts facts_;
  std::optional<LoadReporter> reporter_;
  asio::cancellation_signal cancel_;
  bool ended_ = false;
};

TEST_F(LoadReporterTest, ReportsAtTheStartAndThenWhenSomethingChanged) {
  start();
  run_until_reports(1);
  for (int i = 0; i < 20; ++i) io_.run_one_for(5ms);
  EXPECT_EQ(autoscaler_.statuses.size(), 1u) << "nothing changed";
  accept(request(5000));
  run_until_reports(2);
  EXPECT_EQ(autoscaler_.statuses[1]["new_load"], 5);
}

TEST_F(LoadReporterTest, HeartbeatComesWithoutAnyChange) {
  start({{1h, 2ms}, 1ms, 1h, 1000});
  run_until_reports(4);
}

TEST_F(LoadReporterTest, PokeReportsAtOnce) {
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until_reports(1);
  facts_.error_msg = "model died";
  reporter_->poke();
  run_until_reports(2);
  EXPECT_EQ(autoscaler_.statuses[1]["error_msg"], "model died");
}

TEST_F(LoadReporterTest, PokeWhileAReportIsUnderWayIsNotLost) {
  autoscaler_.during_status = [this] {
    if (autoscaler_.statuses.size() == 1) reporter_->poke();
  };
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until_reports(2);
}

TEST_F(LoadReporterTest, FailedReportsLoadIsToldLaterAndOnce) {
  autoscaler_.status_fails = true;
  accept(request(5000));
  start();
  run_until_reports(3);
  autoscaler_.status_fails = false;
  std::size_t failed = autoscaler_.statuses.size();
  run_until_reports(failed + 1);
  EXPECT_EQ(autoscaler_.statuses[failed]["new_load"], 5);
  EXPECT_EQ(reporter_->failed_statuses(), failed);
  EXPECT_EQ(reporter_->failed_deletes(), 0u);
  accept(request(1000));
  run_until_reports(failed + 2);
  EXPECT_EQ(autoscaler_.statuses[failed + 1]["new_load"], 1);
}

TEST_F(LoadReporterTest, LoadThatComesWhileAReportIsUnderWayIsInTheNext) {
  autoscaler_.during_status = [this] {
    if (autoscaler_.statuses.size() == 1) accept(request(3000));
  };
  accept(request(5000));
  start();
  run_until_reports(2);
  EXPECT_EQ(autoscaler_.statuses[0]["new_load"], 5);
  EXPECT_EQ(autoscaler_.statuses[1]["new_load"], 3);
}

TEST_F(LoadReporterTest, LoadtimeIsToldUntilAReportGotThrough) {
  facts_.load_number = 1;
  facts_.loadtime = 42;
  autoscaler_.status_fails = true;
  start();
  run_until_reports(2);
  EXPECT_EQ(autoscaler_.statuses[0]["loadtime"], 42);
  EXPECT_EQ(autoscaler_.statuses[1]["loadtime"], 42);
  autoscaler_.status_fails = false;
  std::size_t failed = autoscaler_.statuses.size();
  run_until_reports(failed + 1);
  EXPECT_EQ(autoscaler_.statuses[failed]["loadtime"], 42);
  reporter_->poke();
  run_until_reports(failed + 2);
  EXPECT_EQ(autoscaler_.statuses[failed + 1]["loadtime"], 0);
}

TEST_F(LoadReporterTest, ExceptionIsAFailureLikeOthers) {
  autoscaler_.status_throws = true;
  start();
  run_until_reports(2);
  autoscaler_.status_throws = false;
  run_until_reports(autoscaler_.statuses.size() + 1);
  EXPECT_FALSE(ended_);
}

TEST_F(LoadReporterTest, FinishedRequestsAreToldApartInBatchesAndForgotten) {
  LoadReporterTuning tuning = eager();
  tuning.most_deleted = 4;
  for (std::int64_t i = 0; i < 10; ++i) ledger_->finish(accept(request(1000, i)), {Outcome::kServed, 1, {}});
  for (std::int64_t i = 100; i < 103; ++i) ledger_->reject(-1, 1000, i);
  start(tuning);
  run_until([&] { return autoscaler_.succeeded.size() >= 10 && autoscaler_.failed.size() >= 3; });
  EXPECT_THAT(autoscaler_.succeeded, testing::ElementsAre(0, 1, 2, 3, 4, 5, 6, 7, 8, 9));
  EXPECT_THAT(autoscaler_.failed, testing::ElementsAre(100, 101, 102));
  EXPECT_EQ(autoscaler_.largest, 4u);
  run_until([&] { return ledger_->snapshot().failed.waiting == 0; });
  EXPECT_EQ(ledger_->snapshot().succeeded.waiting, 0u);
}

TEST_F(LoadReporterTest, DeletionsGoOnWhileReportsFail) {
  autoscaler_.status_fails = true;
  start();
  run_until_reports(1);
  ledger_->reject(-1, 1000, 5);
  run_until([&] { return !autoscaler_.failed.empty(); });
}

TEST_F(LoadReporterTest, ReportsGoOnWhileDeletionsFail) {
  autoscaler_.failure_fails = true;
  ledger_->reject(-1, 1000, 5);
  start();
  run_until([&] { return autoscaler_.deletions >= 2; });
  accept(request(1000));
  run_until([&] { return autoscaler_.statuses.back()["cur_load"] == 1; });
}

TEST_F(LoadReporterTest, FailuresThatDoNotGetThroughHoldUpNoSuccesses) {
  autoscaler_.failure_fails = true;
  ledger_->reject(-1, 1000, 5);
  ledger_->finish(accept(request(1000, 6)), {Outcome::kCancelled, 1, {}});
  start();
  run_until([&] { return !autoscaler_.succeeded.empty(); });
  EXPECT_EQ(autoscaler_.succeeded.front(), 6);
  autoscaler_.failure_fails = false;
  run_until([&] { return !autoscaler_.failed.empty(); });
  EXPECT_EQ(autoscaler_.failed.front(), 5) << "kept until it got through";
}

// They stood before all others for ever, and each second was another try.
TEST_F(LoadReporterTest, RefusedRequestIsDroppedAndHoldsUpNoOther) {
  LoadReporterTuning tuning = eager();
  tuning.most_deleted = 16;
  autoscaler_.refused = {3, 12};
  for (std::int64_t i = 0; i < 20; ++i) ledger_->finish(accept(request(1000, i)), {Outcome::kServed, 1, {}});
  start(tuning);
  run_until([&] { return ledger_->snapshot().succeeded.waiting == 0; });
  EXPECT_THAT(autoscaler_.succeeded,
              testing::ElementsAre(0, 1, 2, 4, 5, 6, 7, 8, 9, 10, 11, 13, 14, 15, 16, 17, 18, 19));
  EXPECT_LE(autoscaler_.deletions, 30) << "each time the half";
  autoscaler_.largest = 0;
  for (std::int64_t i = 100; i < 150; ++i) ledger_->finish(accept(request(1, i)), {Outcome::kServed, 1, {}});
  run_until([&] { return ledger_->snapshot().succeeded.waiting == 0; });
  EXPECT_EQ(autoscaler_.largest, 16u) << "batches grow again";
}

// An autoscaler that refuses them all, each with a message of its own, isn't written about each time.
TEST_F(LoadReporterTest, RefusalsAreLoggedOnceAndThenSeldom) {
  for (std::int64_t i = 0; i < 25; ++i) {
    autoscaler_.refused.insert(i);
    ledger_->reject(-1, 1000, i);
  }
  std::ostringstream log;
  auto before = spdlog::default_logger();
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  start();
  run_until([&] { return ledger_->snapshot().failed.waiting == 0; });
  spdlog::set_default_logger(before);
  EXPECT_THAT(autoscaler_.failed, testing::IsEmpty());
  std::size_t lines = 0;
  for (std::size_t at = 0; (at = log.str().find("refuses", at)) != std::string::npos; ++at) ++lines;
  EXPECT_EQ(lines, 2u) << log.str();
  EXPECT_THAT(log.str(), testing::HasSubstr("request 0, which is dropped, 1 so far: it answered 422"));
  EXPECT_THAT(log.str(), testing::HasSubstr("10 so far"));
}

TEST_F(LoadReporterTest, FailuresAreNoRefusals) {
  autoscaler_.success_fails = true;
  for (std::int64_t i = 0; i < 4; ++i) ledger_->finish(accept(request(1000, i)), {Outcome::kServed, 1, {}});
  start();
  run_until([&] { return autoscaler_.deletions >= 5; });
  EXPECT_EQ(ledger_->snapshot().succeeded.waiting, 4u);
  autoscaler_.success_fails = false;
  run_until([&] { return ledger_->snapshot().succeeded.waiting == 0; });
  EXPECT_EQ(autoscaler_.largest, 4u) << "one message";
}

// Three requests were cut when the worker drained, and the autoscaler waited for them for ever.
TEST_F(LoadReporterTest, TheEndIsTold) {
  Ticket cut = accept(request(5000, 7));
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until_reports(1);
  ledger_->finish(cut, {Outcome::kErrored, 1, {}});
  ledger_->finish(accept(request(2000, 8)), {Outcome::kServed, 1, {}});
  reporter_->stop();
  run_until([this] { return ended_; });
  ASSERT_EQ(autoscaler_.statuses.size(), 2u);
  EXPECT_EQ(autoscaler_.statuses[1]["cur_load"], 0);
  EXPECT_EQ(autoscaler_.statuses[1]["new_load"], 2);
  EXPECT_THAT(autoscaler_.failed, testing::ElementsAre(7));
  EXPECT_THAT(autoscaler_.succeeded, testing::ElementsAre(8));
  EXPECT_EQ(ledger_->snapshot().acknowledged.reports, 2u);
}

TEST_F(LoadReporterTest, TheEndIsToldAlsoWhenItComesDuringAReport) {
  autoscaler_.during_status = [this] {
    if (autoscaler_.statuses.size() > 1) return;
    ledger_->reject(-1, 3000, 9);
    reporter_->stop();
  };
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until([this] { return ended_; });
  ASSERT_EQ(autoscaler_.statuses.size(), 2u);
  EXPECT_EQ(autoscaler_.statuses[1]["rej_load"], 3);
  EXPECT_THAT(autoscaler_.failed, testing::ElementsAre(9));
}

TEST_F(LoadReporterTest, NothingIsToldAtTheEndWhenAllIsKnown) {
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until_reports(1);
  reporter_->stop();
  run_until([this] { return ended_; });
  EXPECT_EQ(autoscaler_.statuses.size(), 1u);
  EXPECT_EQ(autoscaler_.deletions, 0);
}

TEST_F(LoadReporterTest, TheEndIsTriedOnce) {
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until_reports(1);
  autoscaler_.status_fails = autoscaler_.failure_fails = true;
  ledger_->reject(-1, 1000, 5);
  reporter_->poke();
  reporter_->stop();
  run_until([this] { return ended_; });
  EXPECT_EQ(autoscaler_.statuses.size(), 2u);
  EXPECT_EQ(autoscaler_.deletions, 1);
}

TEST_F(LoadReporterTest, StopEndsBothLoops) {
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until_reports(1);
  reporter_->stop();
  run_until([this] { return ended_; });
}

TEST_F(LoadReporterTest, CancellationEndsBothLoops) {
  start({{1h, 1h}, 1h, 1h, 1000});
  run_until_reports(1);
  cancel_.emit(asio::cancellation_type::terminal);
  run_until([this] { return ended_; });
}

}  // namespace
}  // namespace cppworker
