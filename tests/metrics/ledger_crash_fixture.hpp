// Processes that die in the middle of an entry into the ledger.
#pragma once

#include <signal.h>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {

class LedgerCrashTest : public LedgerTest {
 protected:
  // An attached ledger whose process dies at the n-th step of its transactions, counted over all of them.
  std::unique_ptr<Ledger> doomed(int fatal_step) {
    // Longer than a proxy waits: on a busy machine those two seconds pass, and what wasn't entered is no loss
    // by a death.
    LedgerOptions options{std::chrono::minutes(1)};
    options.test_point = [steps = 0, fatal_step](int) mutable {
      if (++steps == fatal_step) ::raise(SIGKILL);
    };
    return Ledger::attach(path_, options).value();
  }

  // Runs `entry` again and again in a child that dies one step later each time, until one survives.
  // `happened` says whether the books hold the entry; both answers must occur, and `undo` prepares the next
  // round.
  void kill_at_every_step(
      const std::function<void(Ledger&)>& entry, const std::function<bool()>& happened,
      const std::function<void()>& undo = [] {}) {
    int with = 0, without = 0;
    for (int step = 1;; ++step) {
      ASSERT_LT(step, 1000) << "the entry never ends";
      undo();
      int status = status_of(in_child([&] { entry(*doomed(step)); }));
      ASSERT_TRUE(killed(status) || ended_well(status)) << status;
      expect_books_sum_up(ledger_->snapshot());
      (happened() ? with : without) += 1;
      if (!killed(status)) break;
      // What a dead process left must not be found by the next supervisor either.
      ASSERT_FALSE(HasFailure()) << "killed at step " << step;
    }
    EXPECT_GT(with, 1) << "deaths after the commit point";
    EXPECT_GT(without, 1) << "deaths before the commit point";
  }
};

}  // namespace cppworker
