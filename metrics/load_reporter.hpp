// Tells the autoscaler how the worker fares, for as long as it runs: worker_status in one loop, finished
// requests in another, so that neither waits for the other's failures.
//
// Reports what the ledger holds beyond the last acknowledged report, and moves that base only when a report
// got through. Nothing that the autoscaler or the network does ends a loop.
//
// The caller spawns run() and keeps the reporter, the ledger and the client alive until it returns. After
// stop() it tells once more what isn't told yet, the end of the last requests for the most part, and returns;
// how long that may take is the caller's to limit. When its coroutine is cancelled it returns once the
// exchanges under way have ended. Threads: everything on one, the executor of run().
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <string>
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
  // Why the last report didn't get through; empty when it did, or none was due yet.
  const std::string& trouble() const { return status_log_.trouble(); }

  // Messages that didn't get through, after all tries, since the reporter was made.
  std::uint64_t failed_statuses() const { return status_log_.failures(); }
  std::uint64_t failed_deletes() const { return successes_.log.failures() + failures_.log.failures(); }
  // When a report got through last; when the reporter was made as long as none has.
  std::chrono::steady_clock::time_point last_acknowledged() const { return last_acknowledged_; }

 private:
  // "Failed" once, then silence until "recovered", with how often it failed meanwhile.
  class FailureLog {
   public:
    explicit FailureLog(std::string what) : what_(std::move(what)) {}
    void failed(const std::string& why);
    void succeeded();
    const std::string& trouble() const { return trouble_; }
    std::uint64_t failures() const { return failures_; }

   private:
    std::string what_, trouble_;
    int streak_ = 0;
    std::uint64_t failures_ = 0;
  };

  // The two kinds of finished requests are told apart from each other.
  struct Finished {
    bool success;
    FailureLog log;
    std::size_t batch;            // halved by refusals, doubled by what is taken
    std::uint64_t refused = 0;    // dropped, since they alone were refused
    std::uint64_t next_note = 1;  // the log hears of the first, the tenth, the hundredth
  };

  Awaitable<> report_until_stopped();
  Awaitable<> delete_until_stopped();
  Awaitable<> report_if_due(bool last);
  Awaitable<> tell_finished(Finished& finished);
  void drop_refused(Finished& finished, std::int64_t request_idx, const std::string& why);
  // False when the coroutine was cancelled.
  Awaitable<bool> wait(asio::steady_timer& timer, std::chrono::milliseconds duration);

  Ledger& ledger_;
  AutoscalerClient& client_;
  const std::function<WorkerFacts()> facts_;
  const LoadReporterTuning tuning_;
  ReportSchedule schedule_;
  ReportProgress progress_;
  FailureLog status_log_{"worker_status"};
  Finished successes_, failures_;
  asio::steady_timer report_timer_, delete_timer_;
  std::chrono::steady_clock::time_point last_acknowledged_ = std::chrono::steady_clock::now();
  bool stopping_ = false;
};

}  // namespace cppworker
