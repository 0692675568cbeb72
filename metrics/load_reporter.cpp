#include "metrics/load_reporter.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>

#include "common/logging.hpp"

namespace cppworker {

LoadReporter::LoadReporter(asio::any_io_executor executor, Ledger& ledger, AutoscalerClient& client,
                           std::function<WorkerFacts()> facts, LoadReporterTuning tuning)
    : ledger_(ledger),
      client_(client),
      facts_(std::move(facts)),
      tuning_(tuning),
      schedule_(tuning.times),
      successes_{true, FailureLog("delete_requests of successes"), tuning.most_deleted},
      failures_{false, FailureLog("delete_requests of failures"), tuning.most_deleted},
      report_timer_(executor),
      delete_timer_(executor) {}

void LoadReporter::FailureLog::failed(const std::string& why) {
  ++failures_;
  trouble_ = why;
  if (++streak_ == 1) spdlog::warn("Autoscaler didn't get {}, trying on: {}", what_, printable(why));
}

void LoadReporter::FailureLog::succeeded() {
  if (streak_ > 0) spdlog::info("Autoscaler gets {} again after {} failures", what_, streak_);
  streak_ = 0;
  trouble_.clear();
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

Awaitable<bool> LoadReporter::wait(asio::steady_timer& timer, std::chrono::milliseconds duration) {
  if (!stopping_) {
    timer.expires_after(duration);
    co_await timer.async_wait(kTuple);
  }
  auto cancellation = co_await asio::this_coro::cancellation_state;
  co_return cancellation.cancelled() == asio::cancellation_type::none;
}

Awaitable<> LoadReporter::report_until_stopped() {
  // Cancellation is asked for in wait(): an exception thrown by it would look like a failure to report.
  co_await asio::this_coro::throw_if_cancelled(false);
  bool last = false, going_on = true;
  while (going_on && !last) {
    last = stopping_;
    try {
      co_await report_if_due(last);
    } catch (const std::exception& error) {
      status_log_.failed(error.what());
    }
    auto pause = schedule_.asked() ? std::chrono::milliseconds(0) : tuning_.look;
    going_on = co_await wait(report_timer_, pause);
  }
}

Awaitable<> LoadReporter::report_if_due(bool last) {
  WorkerFacts facts = progress_.prepare(facts_());
  LedgerSnapshot books = ledger_.snapshot();
  nlohmann::json report = worker_status(facts, books);
  auto now = std::chrono::steady_clock::now();
  bool news = progress_.says_something_new(report);
  // After the last there is no later.
  if (!schedule_.due(now, news) && !(last && news)) co_return;

  schedule_.begun(now);
  auto sent = co_await client_.post_status(report);
  if (!sent) {
    status_log_.failed(sent.error().message);
    co_return;
  }
  // The totals that were sent, not those of now: what came in meanwhile is the next report's.
  ledger_.acknowledge(books.totals);
  last_acknowledged_ = std::chrono::steady_clock::now();
  progress_.acknowledged(facts, std::move(report));
  status_log_.succeeded();
}

Awaitable<> LoadReporter::delete_until_stopped() {
  co_await asio::this_coro::throw_if_cancelled(false);
  bool last = false, going_on = true;
  while (going_on && !last) {
    last = stopping_;
    for (Finished* finished : {&successes_, &failures_}) {
      try {
        co_await tell_finished(*finished);
      } catch (const std::exception& error) {
        finished->log.failed(error.what());
      }
    }
    going_on = co_await wait(delete_timer_, tuning_.delete_every);
  }
}

// All that wait, in batches. A refused batch is halved until what is refused stands alone, and is dropped:
// the autoscaler would never take it, and the others would wait behind it for ever.
Awaitable<> LoadReporter::tell_finished(Finished& finished) {
  while (true) {
    std::vector<std::int64_t> waiting = ledger_.finished(finished.success, finished.batch);
    if (waiting.empty()) co_return;
    nlohmann::json body = delete_requests(facts_(), waiting, finished.success);
    auto received = co_await client_.post_deleted(std::move(body));
    if (!received) {
      finished.log.failed(received.error().message);
      co_return;
    }
    if (!received->taken() && waiting.size() > 1) {
      finished.batch = waiting.size() / 2;
      continue;
    }
    ledger_.forget_finished(finished.success, waiting.size());
    finished.log.succeeded();
    if (!received->taken()) {
      drop_refused(finished, waiting.front(), received->refusal);
      continue;
    }
    bool all = waiting.size() < finished.batch;
    finished.batch = std::min(finished.batch * 2, tuning_.most_deleted);
    if (all) co_return;
  }
}

void LoadReporter::drop_refused(Finished& finished, std::int64_t request_idx, const std::string& why) {
  if (++finished.refused < finished.next_note) return;
  finished.next_note *= 10;
  spdlog::warn("Autoscaler refuses the finished request {}, which is dropped, {} so far: {}", request_idx,
               finished.refused, printable(why));
}

}  // namespace cppworker
