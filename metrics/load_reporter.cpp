#include "metrics/load_reporter.hpp"

#include <spdlog/spdlog.h>

#include "common/logging.hpp"

namespace cppworker {

LoadReporter::LoadReporter(asio::any_io_executor executor, Ledger& ledger, AutoscalerClient& client,
                           std::function<WorkerFacts()> facts, LoadReporterTuning tuning)
    : ledger_(ledger),
      client_(client),
      facts_(std::move(facts)),
      tuning_(tuning),
      schedule_(tuning.times),
      report_timer_(executor),
      delete_timer_(executor) {}

void LoadReporter::FailureLog::failed(const std::string& why) {
  if (++streak_ == 1) spdlog::warn("Autoscaler didn't get {}, trying on: {}", what_, printable(why));
}

void LoadReporter::FailureLog::succeeded() {
  if (streak_ > 0) spdlog::info("Autoscaler gets {} again after {} failures", what_, streak_);
  streak_ = 0;
}

Awaitable<> LoadReporter::run() {
  using namespace asio::experimental::awaitable_operators;
  co_await (report_until_stopped() && delete_until_stopped());
}

void LoadReporter::poke() {
  schedule_.ask();
  report_timer_.cancel();
}

void LoadReporter::stop() {
  stopping_ = true;
  report_timer_.cancel();
  delete_timer_.cancel();
}

// False when the loop has to end.
Awaitable<bool> LoadReporter::wait(asio::steady_timer& timer, std::chrono::milliseconds duration) {
  if (!stopping_) {
    timer.expires_after(duration);
    co_await timer.async_wait(kTuple);
  }
  auto cancellation = co_await asio::this_coro::cancellation_state;
  co_return !stopping_ && cancellation.cancelled() == asio::cancellation_type::none;
}

Awaitable<> LoadReporter::report_until_stopped() {
  // Cancellation is asked for in wait(): an exception thrown by it would look like a failure to report.
  co_await asio::this_coro::throw_if_cancelled(false);
  bool going_on = !stopping_;
  while (going_on) {
    try {
      co_await report_if_due();
    } catch (const std::exception& error) {
      status_log_.failed(error.what());
    }
    auto pause = schedule_.asked() ? std::chrono::milliseconds(0) : tuning_.look;
    going_on = co_await wait(report_timer_, pause);
  }
}

Awaitable<> LoadReporter::report_if_due() {
  WorkerFacts facts = progress_.prepare(facts_());
  LedgerSnapshot books = ledger_.snapshot();
  nlohmann::json report = worker_status(facts, books);
  auto now = std::chrono::steady_clock::now();
  if (!schedule_.due(now, progress_.says_something_new(report))) co_return;

  schedule_.begun(now);
  auto sent = co_await client_.post_status(report);
  if (!sent) {
    status_log_.failed(sent.error().message);
    co_return;
  }
  // The totals that were sent, not those of now: what came in meanwhile is the next report's.
  ledger_.acknowledge(books.totals);
  progress_.acknowledged(facts, std::move(report));
  status_log_.succeeded();
}

Awaitable<> LoadReporter::delete_until_stopped() {
  co_await asio::this_coro::throw_if_cancelled(false);
  bool going_on = !stopping_;
  while (going_on) {
    for (bool success : {true, false}) {
      try {
        co_await tell_finished(success);
      } catch (const std::exception& error) {
        (success ? success_log_ : failure_log_).failed(error.what());
      }
    }
    going_on = co_await wait(delete_timer_, tuning_.delete_every);
  }
}

Awaitable<> LoadReporter::tell_finished(bool success) {
  FailureLog& log = success ? success_log_ : failure_log_;
  while (!stopping_) {
    std::vector<std::int64_t> finished = ledger_.finished(success, tuning_.most_deleted);
    if (finished.empty()) co_return;
    nlohmann::json body = delete_requests(facts_(), finished, success);
    auto sent = co_await client_.post_deleted(std::move(body));
    if (!sent) {
      log.failed(sent.error().message);
      co_return;
    }
    ledger_.forget_finished(success, finished.size());
    log.succeeded();
    if (finished.size() < tuning_.most_deleted) co_return;
  }
}

}  // namespace cppworker
