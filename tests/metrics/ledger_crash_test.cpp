// Processes that die in the middle of an entry: the books hold all of it or nothing.
#include <sched.h>
#include <signal.h>

#include <array>
#include <random>
#include <set>
#include <vector>

#include "tests/metrics/ledger_crash_fixture.hpp"

namespace cppworker {
namespace {

TEST_F(LedgerCrashTest, AcceptingIsAllOrNothingAtEveryStep) {
  std::uint64_t reqnum = 0;
  kill_at_every_step(
      [&](Ledger& ledger) {
        Acceptance wanted = signed_request(reqnum);
        wanted.request_idx = 5;
        ledger.accept(9, wanted);
      },
      [&] {
        LedgerSnapshot books = ledger_->snapshot();
        bool replay_known = ledger_->peek(signed_request(reqnum)) == Verdict::kReplayed;
        EXPECT_EQ(books.in_flight.size(), replay_known ? 1u : 0u);
        EXPECT_EQ(books.distinct_reqnums, static_cast<std::uint64_t>(books.totals.received.requests));
        return replay_known;
      },
      [&] {
        ledger_->settle(9);
        reqnum += 70;  // far enough to clear words of the distinct bitmap
      });
}

TEST_F(LedgerCrashTest, FinishingIsAllOrNothingAtEveryStep) {
  Ticket ticket;
  std::int64_t idx = 0;
  kill_at_every_step(
      [&](Ledger& ledger) {
        ledger.finish(ticket, {Outcome::kServed, 0.5, 0.1});
      },
      [&] {
        LedgerSnapshot books = ledger_->snapshot();
        const EndpointFigures& endpoint = books.endpoints.at(0);
        bool done = books.in_flight.empty();
        EXPECT_EQ(books.succeeded.waiting, static_cast<std::uint64_t>(books.totals.served.requests));
        EXPECT_EQ(endpoint.served, books.totals.served.requests);
        EXPECT_EQ(endpoint.work_served_milli, books.totals.served.work_milli);
        EXPECT_NEAR(endpoint.duration.sum_seconds, 0.5 * static_cast<double>(endpoint.served), 1e-9);
        EXPECT_NEAR(endpoint.first_byte.sum_seconds, 0.1 * static_cast<double>(endpoint.served), 1e-9);
        if (done) {
          EXPECT_EQ(ledger_->finished(true, 100000).back(), idx);
        }
        return done;
      },
      [&] {
        ledger_->settle_all_except(0);
        Acceptance wanted = request(1500, ++idx);
        wanted.endpoint = ledger_->endpoint("POST /generate");
        ticket = accept(wanted);
      });
}

TEST_F(LedgerCrashTest, RejectingIsAllOrNothingAtEveryStep) {
  std::int64_t before = 0;
  kill_at_every_step([](Ledger& ledger) { ledger.reject(-1, 700, 3); },
                     [&] {
                       LedgerSnapshot books = ledger_->snapshot();
                       EXPECT_EQ(books.failed.waiting,
                                 static_cast<std::uint64_t>(books.totals.rejected.requests));
                       EXPECT_EQ(books.totals.rejected.work_milli, 700 * books.totals.rejected.requests);
                       return books.totals.rejected.requests > before;
                     },
                     [&] { before = ledger_->snapshot().totals.rejected.requests; });
}

TEST_F(LedgerCrashTest, AcknowledgingIsAllOrNothingAtEveryStep) {
  std::uint64_t before = 0;
  kill_at_every_step(
      [](Ledger& ledger) {
        Totals totals = ledger.snapshot().totals;
        ledger.acknowledge(totals);
      },
      [&] {
        Acknowledged base = ledger_->snapshot().acknowledged;
        bool done = base.reports > before;
        EXPECT_EQ(base.received_milli == ledger_->snapshot().totals.received.work_milli, done);
        EXPECT_EQ(base.received_milli, base.rejected_milli);
        return done;
      },
      [&] {
        before = ledger_->snapshot().acknowledged.reports;
        ledger_->reject(-1, 1000, {});
      });
}

// The window of the former URL's numbers, kept under the new URL, would refuse all that is signed for it; an
// empty one under the former URL would be emptied once more by the next start.
TEST_F(LedgerCrashTest, ANewUrlAndItsFreshWindowAreAllOrNothingAtEveryStep) {
  constexpr std::uint64_t kUsed = 300;
  kill_at_every_step([](Ledger& ledger) { ledger.numbered_for("https://new"); },
                     [&] {
                       const bool forgotten = ledger_->peek(signed_request(kUsed)) == Verdict::kAccepted;
                       // A second telling of the same URL forgets nothing; of another one, it does.
                       ledger_->settle(kOwner);
                       if (forgotten) accept(signed_request(kUsed));
                       ledger_->numbered_for("https://new");
                       const bool again = ledger_->peek(signed_request(kUsed)) == Verdict::kAccepted;
                       EXPECT_EQ(again, !forgotten)
                           << "the URL in the books isn't the one whose numbers they hold";
                       return forgotten;
                     },
                     [&] {
                       ledger_->settle(kOwner);
                       ledger_->numbered_for("https://between");
                       ledger_->numbered_for("https://former");
                       accept(signed_request(kUsed));
                     });
}

TEST_F(LedgerCrashTest, SettlingThatDiesHalfWayIsTakenUpByTheNext) {
  for (std::int64_t i = 0; i < 5; ++i) accept(request(1000, i));
  int status = status_of(in_child([&] { doomed(40)->settle(kOwner); }));
  ASSERT_TRUE(killed(status));
  std::size_t rest = ledger_->settle(kOwner);
  EXPECT_GT(rest, 0u);
  EXPECT_LT(rest, 5u);
  EXPECT_EQ(ledger_->snapshot().totals.errored, (Amount{5000, 5}));
  EXPECT_EQ(ledger_->finished(false, 10), (std::vector<std::int64_t>{0, 1, 2, 3, 4}));
}

TEST_F(LedgerCrashTest, DeathWhileRepairingIsRepairedByTheNext) {
  // The first dies after the commit point; each that repairs applies the same absolute values again.
  int status = status_of(in_child([&] { doomed(12)->reject(-1, 700, 3); }));
  ASSERT_TRUE(killed(status));
  for (int i = 0; i < 3; ++i) status_of(in_child([&] { doomed(1)->reject(-1, 1, {}); }));
  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals.rejected, (Amount{700, 1}));
  EXPECT_EQ(books.failed.waiting, 1u);
}

// What the children of the next test do until they are killed: requests, each with an idx of its own.
struct Progress {
  std::atomic<std::int64_t> next_idx{0};
  std::atomic<std::int64_t> collected{0};  // how many idxs the parent took out of the queues
  std::array<std::atomic<int>, 4> rounds{};
};

void work_for_ever(Ledger& ledger, std::uint64_t owner, Progress& progress, std::size_t child) {
  std::mt19937 random(static_cast<std::uint32_t>(owner));
  std::vector<Ticket> open;
  int endpoint = ledger.endpoint("POST /generate");
  // Below the capacity of a queue: none overflows, however long the parent isn't scheduled.
  constexpr std::int64_t kMostUncollected = 8000;
  while (true) {
    while (progress.next_idx.load() - progress.collected.load() > kMostUncollected) ::sched_yield();
    Acceptance wanted;
    wanted.endpoint = endpoint;
    wanted.work_milli = 1500;
    wanted.request_idx = progress.next_idx.fetch_add(1);
    wanted.reqnum = static_cast<std::uint64_t>(*wanted.request_idx);
    if (random() % 4 == 0)
      ledger.reject(endpoint, 1500, wanted.request_idx);
    else
      open.push_back(ledger.accept(owner, wanted).second);
    if (open.size() > 3) {
      auto outcome = static_cast<Outcome>(random() % 3);
      ledger.finish(open.front(), {outcome, 0.25, {}});
      open.erase(open.begin());
    }
    ledger.count(Counter::kUpstreamConnects);
    progress.rounds[child].fetch_add(1);
  }
}

TEST_F(LedgerCrashTest, BooksAreExactAfterProcessesWritingAtOnceWereKilledAtRandom) {
  constexpr std::size_t kChildren = 4;
  constexpr int kDeaths = 60;
  Shared<Progress> progress;
  std::mt19937 random(4711);
  std::uint64_t next_owner = 100;
  std::array<pid_t, kChildren> pids{};
  std::array<std::uint64_t, kChildren> owners{};
  std::array<int, kChildren> doomed_at{};
  auto begin = [&](std::size_t child) {
    owners[child] = next_owner++;
    doomed_at[child] = progress->rounds[child].load() + static_cast<int>(random() % 40);
    // Half of them die at a step of a commit, half whenever the parent's signal arrives.
    int fatal_step = owners[child] % 2 == 0 ? 1 + static_cast<int>(random() % 800) : 0;
    pids[child] = in_child([&] { work_for_ever(*doomed(fatal_step), owners[child], *progress, child); });
  };

  // Takes the finished requests out of the queues, as the autoscaler's answers do.
  std::vector<std::int64_t> success, failure;
  auto collect = [&] {
    for (bool is_success : {true, false}) {
      std::vector<std::int64_t> some = ledger_->finished(is_success, 1000);
      ledger_->forget_finished(is_success, some.size());
      auto& all = is_success ? success : failure;
      all.insert(all.end(), some.begin(), some.end());
      progress->collected.fetch_add(static_cast<std::int64_t>(some.size()));
    }
  };

  for (std::size_t child = 0; child < kChildren; ++child) begin(child);
  for (int death = 0; death < kDeaths; ++death) {
    std::size_t child = static_cast<std::size_t>(death) % kChildren;
    bool by_signal = owners[child] % 2 == 1;
    if (by_signal) {
      while (progress->rounds[child].load() < doomed_at[child]) collect();
      ::kill(pids[child], SIGKILL);
    }
    int status = 0;
    while (::waitpid(pids[child], &status, WNOHANG) == 0) collect();
    ASSERT_TRUE(killed(status));
    ledger_->settle(owners[child]);
    expect_books_sum_up(ledger_->snapshot());
    if (death + static_cast<int>(kChildren) < kDeaths) begin(child);
  }

  LedgerSnapshot books = ledger_->snapshot();
  ASSERT_TRUE(books.in_flight.empty());
  const Totals& t = books.totals;
  EXPECT_EQ(t.received.work_milli, 1500 * t.received.requests);
  // Each idx is in exactly one queue exactly once, and nothing is there that wasn't received.
  while (ledger_->snapshot().succeeded.waiting + ledger_->snapshot().failed.waiting > 0) collect();
  EXPECT_EQ(books.succeeded.dropped + books.failed.dropped, 0u);
  EXPECT_EQ(static_cast<std::int64_t>(success.size()), t.served.requests + t.cancelled.requests);
  EXPECT_EQ(static_cast<std::int64_t>(failure.size()), t.errored.requests + t.rejected.requests);
  std::set<std::int64_t> all(success.begin(), success.end());
  all.insert(failure.begin(), failure.end());
  EXPECT_EQ(all.size(), success.size() + failure.size());
  EXPECT_EQ(static_cast<std::int64_t>(all.size()), t.received.requests);
  // At most one entry of each child was in the making when it died.
  EXPECT_LE(t.received.requests, progress->next_idx.load());
  EXPECT_GE(t.received.requests, progress->next_idx.load() - kDeaths);
  const EndpointFigures& endpoint = books.endpoints.at(0);
  EXPECT_EQ(endpoint.served, t.served.requests);
  EXPECT_EQ(endpoint.errored, t.errored.requests);
  EXPECT_EQ(endpoint.cancelled, t.cancelled.requests);
  EXPECT_EQ(endpoint.rejected, t.rejected.requests);
  EXPECT_EQ(endpoint.work_served_milli, t.served.work_milli);
}

}  // namespace
}  // namespace cppworker
