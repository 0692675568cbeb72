// A process that is stopped, not dead, while it holds the lock: the others go on, and lose nothing.
#include <signal.h>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

class LedgerStoppedTest : public LedgerTest {
 protected:
  LedgerStoppedTest() {
    // Short, since the lock is known to be held: every wait in here ends at this bound.
    impatient_ = Ledger::attach(path_, {std::chrono::milliseconds(5)}).value();
  }
  ~LedgerStoppedTest() override { resume(); }

  // A child that stops itself in the middle of rejecting a request with 1 milli work unit.
  void stop_a_writer() {
    pid_ = in_child([this] {
      LedgerOptions options{kProxyLockBound};
      options.test_point = [](int step) {
        if (step == 2) ::raise(SIGSTOP);
      };
      Ledger::attach(path_, options).value()->reject(-1, 1, {});
    });
    int status = 0;
    ASSERT_EQ(::waitpid(pid_, &status, WUNTRACED), pid_);
    ASSERT_TRUE(WIFSTOPPED(status));
  }

  void resume() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGCONT);
    EXPECT_TRUE(ended_well(status_of(pid_)));
    pid_ = -1;
  }

  std::unique_ptr<Ledger> impatient_;
  pid_t pid_ = -1;
};

TEST_F(LedgerStoppedTest, AcceptSaysLockedAndEntersNothing) {
  stop_a_writer();
  EXPECT_EQ(impatient_->accept(kOwner, signed_request(1)).first, Verdict::kLocked);
  EXPECT_EQ(impatient_->peek(signed_request(1)), Verdict::kLocked);
  EXPECT_EQ(impatient_->endpoint("POST /generate"), -1);
  EXPECT_TRUE(impatient_->finished(true, 10).empty());
  resume();
  EXPECT_EQ(impatient_->snapshot().totals.received, (Amount{1, 1}));
  EXPECT_EQ(impatient_->accept(kOwner, signed_request(1)).first, Verdict::kAccepted);
}

TEST_F(LedgerStoppedTest, SnapshotGivesTheFiguresOfTheTimeBefore) {
  impatient_->reject(-1, 1000, {});
  impatient_->snapshot();
  stop_a_writer();
  LedgerSnapshot books = impatient_->snapshot();
  EXPECT_TRUE(books.outdated);
  EXPECT_EQ(books.totals.received, (Amount{1000, 1}));
  resume();
  books = impatient_->snapshot();
  EXPECT_FALSE(books.outdated);
  EXPECT_EQ(books.totals.received, (Amount{1001, 2}));
}

TEST_F(LedgerStoppedTest, WhatMustNotBeLostIsEnteredLaterAndOnce) {
  Ticket ticket = accept(request(1000, 7));
  ASSERT_EQ(ledger_->accept(kOwner + 1, request(2000, 8)).first, Verdict::kAccepted);
  stop_a_writer();
  impatient_->finish(ticket, {Outcome::kServed, 1, {}});
  impatient_->finish(ticket, {Outcome::kErrored, 1, {}});
  impatient_->reject(-1, 4000, 9);
  EXPECT_EQ(impatient_->settle(kOwner + 1), 0u);
  resume();
  LedgerSnapshot books = impatient_->snapshot();
  EXPECT_EQ(books.totals.served, (Amount{1000, 1}));
  EXPECT_EQ(books.totals.rejected, (Amount{4001, 2}));
  EXPECT_EQ(books.totals.errored, (Amount{2000, 1}));
  EXPECT_TRUE(books.in_flight.empty());
  expect_books_sum_up(books);
}

TEST_F(LedgerStoppedTest, AcknowledgedLoadIsNotReportedAgainFromAnOutdatedSnapshot) {
  impatient_->reject(-1, 1000, {});
  Totals totals = impatient_->snapshot().totals;
  stop_a_writer();
  impatient_->acknowledge(totals);
  EXPECT_EQ(impatient_->snapshot().acknowledged.rejected_milli, 1000);
  resume();
  EXPECT_EQ(impatient_->snapshot().acknowledged.rejected_milli, 1000);
  EXPECT_EQ(impatient_->snapshot().acknowledged.reports, 1u);
}

TEST_F(LedgerStoppedTest, SessionsSayLockedAndARemovalIsEnteredLater) {
  const NewSession wanted{"session000001", {}, 60'000, "{}", "", ""};
  const std::string id(wanted.id);
  ASSERT_EQ(impatient_->create_session(wanted, 10, 1000), SessionCreation::kCreated);
  stop_a_writer();
  EXPECT_EQ(impatient_->create_session(wanted, 10, 1000), SessionCreation::kLocked);
  EXPECT_EQ(impatient_->find_session(id, 1000).first, SessionVerdict::kLocked);
  EXPECT_EQ(impatient_->touch_session(id, {}, 1000), SessionVerdict::kLocked);
  EXPECT_EQ(impatient_->begin_close_session(id, 1000).first, SessionVerdict::kLocked);
  EXPECT_TRUE(impatient_->expired_sessions(1'000'000).empty());
  impatient_->remove_session(id);
  EXPECT_EQ(impatient_->session_count(), 1u);
  resume();
  EXPECT_EQ(impatient_->find_session(id, 1000).first, SessionVerdict::kUnknown);
  EXPECT_EQ(impatient_->session_count(), 0u);
}

TEST_F(LedgerStoppedTest, SupervisorThatCannotContinueSaysWhatHelps) {
  ledger_.reset();
  stop_a_writer();
  auto ledger = Ledger::create(path_, "container 1", {std::chrono::milliseconds(5)});
  ASSERT_FALSE(ledger);
  EXPECT_NE(ledger.error().message.find("stopped process"), std::string::npos);
}

}  // namespace
}  // namespace cppworker
