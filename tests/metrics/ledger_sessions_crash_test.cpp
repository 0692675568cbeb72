// Sessions in the hands of several processes: killed in the middle of a change, and racing for one.
#include <sched.h>
#include <signal.h>

#include <array>
#include <random>
#include <thread>

#include "tests/metrics/ledger_crash_fixture.hpp"

namespace cppworker {
namespace {

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr std::int64_t kLifetime = 60'000;

// A session all of whose texts follow from its number: a half-written one can't look whole.
struct Wanted {
  explicit Wanted(int number, std::size_t longest = 60) {
    std::string digits = std::to_string(number);
    id = std::string(kSessionIdLength - digits.size(), 's') + digits;
    owner.fill(static_cast<unsigned char>(number));
    auto length = static_cast<std::size_t>(number) * 7 % longest;
    auth_data = "{" + id + std::string(length, 'a') + "}";
    route = "/" + id;
    payload = "[" + id + std::string(longest - length, 'p') + "]";
  }
  NewSession session() const { return {id, owner, kLifetime, auth_data, route, payload}; }

  std::string id, auth_data, route, payload;
  SessionDigest owner;
};

void expect_whole(const SessionRecord& found, const Wanted& wanted) {
  EXPECT_EQ(found.id, wanted.id);
  EXPECT_EQ(found.auth_digest, wanted.owner);
  EXPECT_EQ(found.lifetime_ms, kLifetime);
  EXPECT_EQ(found.auth_data, wanted.auth_data);
  EXPECT_EQ(found.on_close_route, wanted.route);
  EXPECT_EQ(found.on_close_payload, wanted.payload);
}

class LedgerSessionsCrashTest : public LedgerCrashTest {
 protected:
  SessionVerdict verdict(const Wanted& wanted) { return ledger_->find_session(wanted.id, kNow).first; }
};

TEST_F(LedgerSessionsCrashTest, CreatingIsAllOrNothingAtEveryStep) {
  int number = 0;
  kill_at_every_step([&](Ledger& ledger) { ledger.create_session(Wanted(number).session(), 10, kNow); },
                     [&] {
                       Wanted wanted(number);
                       auto [verdict, found] = ledger_->find_session(wanted.id, kNow);
                       bool created = verdict == SessionVerdict::kOpen;
                       if (created) {
                         expect_whole(found, wanted);
                         EXPECT_EQ(found.expiration_unix_ms, kNow + kLifetime);
                       }
                       EXPECT_EQ(ledger_->session_count(), created ? 1u : 0u);
                       return created;
                     },
                     [&] {
                       ledger_->remove_session(Wanted(number).id);
                       ++number;
                     });
}

TEST_F(LedgerSessionsCrashTest, TouchingIsAllOrNothingAtEveryStep) {
  Wanted wanted(1);
  ledger_->create_session(wanted.session(), 10, kNow);
  std::int64_t before = 0, now = kNow;
  kill_at_every_step([&](Ledger& ledger) { ledger.touch_session(wanted.id, wanted.owner, now); },
                     [&] {
                       SessionRecord found = ledger_->find_session(wanted.id, kNow).second;
                       expect_whole(found, wanted);
                       bool touched = found.expiration_unix_ms == now + kLifetime;
                       EXPECT_TRUE(touched || found.expiration_unix_ms == before);
                       return touched;
                     },
                     [&] {
                       before = ledger_->find_session(wanted.id, kNow).second.expiration_unix_ms;
                       now += 1000;
                     });
}

TEST_F(LedgerSessionsCrashTest, AClosingTakenOnByOneThatDiesIsTakenOverOnce) {
  int number = 0;
  std::int64_t later = kNow + kClosingBound.count();
  kill_at_every_step([&](Ledger& ledger) { ledger.begin_close_session(Wanted(number).id, kNow); },
                     [&] {
                       Wanted wanted(number);
                       bool closing = verdict(wanted) == SessionVerdict::kClosing;
                       EXPECT_TRUE(closing || verdict(wanted) == SessionVerdict::kOpen);
                       // Either way it comes to its end: by the sweep of the expired, or of the abandoned.
                       EXPECT_EQ(ledger_->expired_sessions(closing ? later : kNow + kLifetime),
                                 std::vector<std::string>{wanted.id});
                       auto [first, record] = ledger_->begin_close_session(wanted.id, later);
                       EXPECT_EQ(first, SessionVerdict::kOpen);
                       expect_whole(record, wanted);
                       EXPECT_EQ(ledger_->begin_close_session(wanted.id, later).first,
                                 SessionVerdict::kClosing);
                       return closing;
                     },
                     [&] {
                       ledger_->remove_session(Wanted(number).id);
                       ++number;
                       ledger_->create_session(Wanted(number).session(), 10, kNow);
                     });
}

TEST_F(LedgerSessionsCrashTest, RemovingIsAllOrNothingAtEveryStep) {
  Wanted wanted(1);
  kill_at_every_step([&](Ledger& ledger) { ledger.remove_session(wanted.id); },
                     [&] {
                       auto [verdict, found] = ledger_->find_session(wanted.id, kNow);
                       bool removed = verdict == SessionVerdict::kUnknown;
                       if (!removed) expect_whole(found, wanted);
                       return removed;
                     },
                     [&] { ledger_->create_session(wanted.session(), 1, kNow); });
}

// ---- races

constexpr int kProcesses = 4;
constexpr int kThreads = 2;
constexpr int kRounds = 60;
constexpr std::size_t kMost = 10;

struct Race {
  std::atomic<int> arrived{0}, mixed{0};
  std::array<std::atomic<int>, kRounds> created{}, ours{}, closing{};

  void wait_for_all(int times) {
    arrived.fetch_add(1);
    while (arrived.load() < kProcesses * kThreads * times) ::sched_yield();
  }
};

class LedgerSessionsRaceTest : public LedgerTest {
 protected:
  // `work` in threads of processes of their own, each with a ledger of its own process.
  void race(const std::function<void(Ledger&, int runner)>& work) {
    std::vector<pid_t> pids;
    for (int process = 0; process < kProcesses; ++process) {
      pids.push_back(in_child([&] {
        auto ledger = Ledger::attach(path_).value();
        std::thread other([&] { work(*ledger, process * kThreads + 1); });
        work(*ledger, process * kThreads);
        other.join();
      }));
    }
    for (pid_t pid : pids) EXPECT_TRUE(ended_well(status_of(pid)));
  }
};

TEST_F(LedgerSessionsRaceTest, OfEightThatEndASessionAtOnceExactlyOneDoes) {
  Shared<Race> shared;
  race([&](Ledger& ledger, int runner) {
    for (int round = 0; round < kRounds; ++round) {
      auto index = static_cast<std::size_t>(round);
      Wanted wanted(round);
      if (runner == 0) ledger.create_session(wanted.session(), kMost, kNow);
      shared->wait_for_all(2 * round + 1);
      SessionVerdict verdict = ledger.begin_close_session(wanted.id, kNow).first;
      if (verdict == SessionVerdict::kOpen) shared->ours[index].fetch_add(1);
      if (verdict == SessionVerdict::kClosing) shared->closing[index].fetch_add(1);
      shared->wait_for_all(2 * round + 2);
      if (verdict == SessionVerdict::kOpen) ledger.remove_session(wanted.id);
    }
  });
  for (std::size_t round = 0; round < kRounds; ++round) {
    EXPECT_EQ(shared->ours[round].load(), 1) << "round " << round;
    EXPECT_EQ(shared->closing[round].load(), kProcesses * kThreads - 1) << "round " << round;
  }
  EXPECT_EQ(ledger_->session_count(), 0u);
}

TEST_F(LedgerSessionsRaceTest, CreatingAtOnceKeepsToTheLimitAndMixesNoTexts) {
  Shared<Race> shared;
  constexpr int kEach = 4;  // of a runner in a round: far more than the limit in all
  race([&](Ledger& ledger, int runner) {
    for (int round = 0; round < kRounds; ++round) {
      auto index = static_cast<std::size_t>(round);
      shared->wait_for_all(2 * round + 1);
      std::vector<Wanted> mine;
      for (int i = 0; i < kEach; ++i) {
        Wanted wanted((round * kProcesses * kThreads + runner) * kEach + i, 3000);
        if (ledger.create_session(wanted.session(), kMost, kNow) != SessionCreation::kCreated) continue;
        shared->created[index].fetch_add(1);
        mine.push_back(std::move(wanted));
      }
      shared->wait_for_all(2 * round + 2);
      for (const Wanted& wanted : mine) {
        SessionRecord found = ledger.find_session(wanted.id, kNow).second;
        bool whole = found.auth_data == wanted.auth_data && found.on_close_payload == wanted.payload;
        if (!whole) shared->mixed.fetch_add(1);
        ledger.remove_session(wanted.id);
      }
    }
  });
  for (std::size_t round = 0; round < kRounds; ++round)
    EXPECT_EQ(shared->created[round].load(), static_cast<int>(kMost)) << "round " << round;
  EXPECT_EQ(shared->mixed.load(), 0);
  EXPECT_EQ(ledger_->session_count(), 0u);
}

// ---- killed at random

// What the children do until they are killed: sessions from creation to removal, all at once.
void work_for_ever(Ledger& ledger, unsigned seed, std::atomic<int>& next, std::atomic<int>& rounds) {
  std::mt19937 random(seed);
  std::vector<Wanted> mine;
  while (true) {
    Wanted wanted(next.fetch_add(1), 3000);
    if (ledger.create_session(wanted.session(), kMost, kNow) == SessionCreation::kCreated)
      mine.push_back(std::move(wanted));
    for (const Wanted& each : mine) ledger.touch_session(each.id, each.owner, kNow + random() % 1000);
    if (mine.size() > random() % 4) {
      ledger.begin_close_session(mine.front().id, kNow);
      ledger.remove_session(mine.front().id);
      mine.erase(mine.begin());
    }
    rounds.fetch_add(1);
  }
}

TEST_F(LedgerSessionsCrashTest, WhatKilledProcessesLeaveIsWholeAndCanBeClosed) {
  struct Progress {
    std::atomic<int> next{0};
    std::array<std::atomic<int>, 3> rounds{};
  };
  constexpr int kDeaths = 60;
  Shared<Progress> progress;
  std::mt19937 random(4712);
  std::int64_t later = kNow + kLifetime + 1000 + kClosingBound.count();
  std::array<pid_t, 3> pids{};
  auto begin = [&](std::size_t child) {
    unsigned seed = static_cast<unsigned>(random());
    // Half of them die at a step of a change, half whenever the parent's signal arrives.
    int fatal_step = seed % 2 == 0 ? 1 + static_cast<int>(random() % 20'000) : 0;
    pids[child] = in_child([&, fatal_step] {
      work_for_ever(*doomed(fatal_step), seed, progress->next, progress->rounds[child]);
    });
    return fatal_step == 0;
  };
  std::array<bool, 3> by_signal{};
  for (std::size_t child = 0; child < pids.size(); ++child) by_signal[child] = begin(child);

  int left_behind = 0;
  for (int death = 0; death < kDeaths; ++death) {
    std::size_t child = static_cast<std::size_t>(death) % pids.size();
    if (by_signal[child]) {
      int until = progress->rounds[child].load() + static_cast<int>(random() % 20);
      while (progress->rounds[child].load() < until) ::sched_yield();
      ::kill(pids[child], SIGKILL);
    }
    ASSERT_TRUE(killed(status_of(pids[child])));
    // Sweeps what the dead left, and what the living have at the moment.
    for (const std::string& id : ledger_->expired_sessions(later)) {
      auto [verdict, found] = ledger_->begin_close_session(id, later);
      if (verdict != SessionVerdict::kOpen) continue;  // its owner removed it meanwhile
      expect_whole(found, Wanted(std::stoi(id.substr(id.find_first_not_of('s'))), 3000));
      ledger_->remove_session(id);
      ++left_behind;
    }
    EXPECT_LE(ledger_->session_count(), kMost);
    if (death + static_cast<int>(pids.size()) < kDeaths) by_signal[child] = begin(child);
  }
  EXPECT_GT(left_behind, kDeaths / 4);
  EXPECT_EQ(ledger_->session_count(), 0u);
  ledger_.reset();
  ledger_ = Ledger::create(path_, "container 1").value();
  EXPECT_FALSE(std::filesystem::exists(path_ + ".old"));
}

}  // namespace
}  // namespace cppworker
