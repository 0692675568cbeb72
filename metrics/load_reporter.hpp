// Tells the autoscaler how the worker fares, for as long as it runs: worker_status in one loop, finished
// requests in another, so that neither waits for the other's failures.
//
// Reports what the ledger holds beyond the last acknowledged report, and moves that base only when a report
// got through. Nothing that the autoscaler or the network does ends a loop.
//
// The caller spawns run() and keeps the reporter, the ledger and the client alive until it returns. It
// returns after its coroutine was cancelled, or after stop(), once the exchanges under way have ended.
// Threads: everything on one, the executor of run().
#pragma once

#include <chrono>
#include <functional>
#include <boost/asio/steady_timer.hpp>

#include "common/async.hpp"
#include "metrics/autoscaler_client.hpp"
#include "metrics/ledger.hpp"
#include "metrics/load_report.hpp"
#include "metrics/report_progress.hpp"
#include "metrics/report_schedule.hpp"

namespace cppworker {

struct LoadReporterTuning {
  ReportTimes times;
  std::chrono::milliseconds look{1000};  // how often the books are compared with what was reported
  std::chrono::milliseconds delete_every{1000};
  std::size_t most_deleted = 1000;  // request_idxs in one message: some 10 kB
};

class LoadReporter {
 public:
  // `facts` is called before each report.
  LoadReporter(asio::any_io_executor executor, Ledger& ledger, AutoscalerClient& client,
               std::function<WorkerFacts()> facts, LoadReporterTuning tuning = {});

  Awaitable<> run();
  void poke();  // report now: the state changed, nobody should wait for the next second
  void stop();

 private:
  // "Failed" once, then silence until "recovered", with how often it failed meanwhile.
  class FailureLog {
   public:
    explicit FailureLog(std::string what) : what_(std::move(what)) {}
    void failed(const std::string& why);
    void succeeded();

   private:
    std::string what_;
    int streak_ = 0;
  };

  Awaitable<> report_until_stopped();
  Awaitable<> delete_until_stopped();
  Awaitable<> report_if_due();
  Awaitable<> tell_finished(bool success);
  Awaitable<bool> wait(asio::steady_timer& timer, std::chrono::milliseconds duration);

  Ledger& ledger_;
  AutoscalerClient& client_;
  const std::function<WorkerFacts()> facts_;
  const LoadReporterTuning tuning_;
  ReportSchedule schedule_;
  ReportProgress progress_;
  FailureLog status_log_{"worker_status"}, success_log_{"delete_requests of successes"},
      failure_log_{"delete_requests of failures"};
  asio::steady_timer report_timer_, delete_timer_;
  bool stopping_ = false;
};

}  // namespace cppworker
