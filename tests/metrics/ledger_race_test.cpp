// The same signed request arriving everywhere at once.
#include <sched.h>

#include <array>
#include <thread>
#include <vector>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

constexpr int kProcesses = 6;
constexpr int kThreads = 2;
constexpr int kAtOnce = kProcesses * kThreads;
constexpr int kRounds = 60;

struct Race {
  std::atomic<int> arrived{0};
  std::array<std::atomic<int>, kRounds> accepted{};
  std::array<std::atomic<int>, kRounds> replayed{};
};

class LedgerRaceTest : public LedgerTest {
 protected:
  static void race(Ledger& ledger, std::uint64_t owner, Race& race) {
    for (int round = 0; round < kRounds; ++round) {
      race.arrived.fetch_add(1);
      while (race.arrived.load() < kAtOnce * (round + 1)) ::sched_yield();
      Verdict verdict = ledger.accept(owner, signed_request(static_cast<std::uint64_t>(round))).first;
      auto index = static_cast<std::size_t>(round);
      if (verdict == Verdict::kAccepted) race.accepted[index].fetch_add(1);
      if (verdict == Verdict::kReplayed) race.replayed[index].fetch_add(1);
    }
  }
};

TEST_F(LedgerRaceTest, OfTwelveEqualRequestsAtOnceExactlyOneIsAccepted) {
  Shared<Race> shared;
  std::vector<pid_t> pids;
  for (int process = 0; process < kProcesses; ++process) {
    pids.push_back(in_child([&] {
      auto ledger = Ledger::attach(path_).value();
      std::uint64_t owner = 100 + static_cast<std::uint64_t>(process);
      std::vector<std::thread> threads;
      for (int i = 0; i < kThreads; ++i) threads.emplace_back([&] { race(*ledger, owner, *shared); });
      for (std::thread& thread : threads) thread.join();
    }));
  }
  for (pid_t pid : pids) EXPECT_TRUE(ended_well(status_of(pid)));

  for (std::size_t round = 0; round < kRounds; ++round) {
    EXPECT_EQ(shared->accepted[round].load(), 1) << "round " << round;
    EXPECT_EQ(shared->replayed[round].load(), kAtOnce - 1) << "round " << round;
  }
  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals.received.requests, kRounds);
  EXPECT_EQ(books.distinct_reqnums, static_cast<std::uint64_t>(kRounds));
  expect_books_sum_up(books);
}

TEST_F(LedgerRaceTest, CountersOfProcessesAndThreadsAddUp) {
  constexpr int kEach = 5000;
  std::vector<pid_t> pids;
  for (int process = 0; process < kProcesses; ++process) {
    pids.push_back(in_child([&] {
      auto ledger = Ledger::attach(path_).value();
      auto work = [&] {
        for (int i = 0; i < kEach; ++i) ledger->count(Counter::kBytesFromClients, 3);
      };
      std::thread other(work);
      work();
      other.join();
    }));
  }
  for (pid_t pid : pids) EXPECT_TRUE(ended_well(status_of(pid)));
  auto counted = ledger_->snapshot().counters[static_cast<std::size_t>(Counter::kBytesFromClients)];
  EXPECT_EQ(counted, 3u * kEach * 2 * kProcesses);
}

}  // namespace
}  // namespace cppworker
