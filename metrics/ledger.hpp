// The worker's books, in a file that the supervisor and the proxies map: what came in, what became of it,
// what is in flight, what the autoscaler hasn't heard yet, which signed requests were seen, and the sessions.
//
// The supervisor creates the ledger, and settles what a dead proxy left in flight. A proxy attaches; it calls
// accept() for each request that it lets in and finish() once for each that it accepted, or reject() for an
// authenticated one that it refuses.
//
// Any number of threads and processes at once. Each call is one transaction (ledger_transaction.hpp): a
// process killed anywhere leaves all of it or nothing. Calls wait for the lock no longer than
// LedgerOptions::lock_bound. When it can't be had, because a stopped process holds it, accept() says kLocked,
// snapshot() gives the figures of the time before, and what must not be lost (finish, reject, settle,
// acknowledge, forget, remove_session) is kept in memory and entered with the next call that gets the lock.
//
// Units: milli work units, seconds. Where the figures are from: protocol 4 (reports) and 2 (replay).
#pragma once

#include <atomic>
#include <chrono>
#include <functional>
#include <memory>
#include <mutex>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/result.hpp"
#include "metrics/ledger_books.hpp"
#include "metrics/ledger_file.hpp"
#include "metrics/ledger_lock.hpp"
#include "metrics/ledger_places.hpp"
#include "metrics/ledger_sessions.hpp"
#include "metrics/ledger_snapshot.hpp"
#include "metrics/numbering_watch.hpp"

namespace cppworker {

// A proxy can wait a little: its clients do too, and a holder is never that slow unless it is stopped.
inline constexpr std::chrono::milliseconds kProxyLockBound(2000);
// The supervisor has a health check to run and signals to answer.
inline constexpr std::chrono::milliseconds kSupervisorLockBound(200);

struct LedgerOptions {
  std::chrono::milliseconds lock_bound;
  TestPoint test_point = {};  // tests alone
};

// The time as the sessions' calls take it.
std::int64_t unix_milliseconds();

class Ledger {
 public:
  // For the supervisor: continues the file at `path`, or makes it. A file of another layout version or
  // identity, or whose books contradict themselves, is moved aside to path + ".old" with a warning, and begun
  // anew. `identity` says whose books these are, such as the container's id.
  static Result<std::unique_ptr<Ledger>> create(const std::string& path, std::string_view identity,
                                                LedgerOptions options = {kSupervisorLockBound});
  // For a proxy: the supervisor's file, which must be there.
  static Result<std::unique_ptr<Ledger>> attach(const std::string& path,
                                                LedgerOptions options = {kProxyLockBound});

  // For the supervisor: routes are numbered per URL of the worker. With another one than before the replay
  // window begins anew (an instance that comes back with another outside port would else refuse all that it
  // is sent, as too old); what was signed for the former URL is refused for that. All else in the books goes
  // on.
  void numbered_for(std::string_view url);

  // Finds or makes the slot of "METHOD path"; -1 when all 64 are taken, or the lock can't be had. The index
  // stays the same for the file's life.
  int endpoint(std::string_view name);

  // `owner` is the proxy's instance id, not 0. One transaction: replay check, window, slot, totals.
  std::pair<Verdict, Ticket> accept(std::uint64_t owner, const Acceptance& request);
  // What accept() would say now, changing nothing: asked before reject(), so that a replay sent to a busy
  // worker is refused as a replay and doesn't count as load.
  Verdict peek(const Acceptance& request);
  void reject(int endpoint, std::int64_t work_milli, std::optional<std::int64_t> request_idx);
  // Whether the inference server has that request now, until finish(); it waits elsewhere when it is
  // accepted. No lock: for the pulse, which takes none either.
  void note_at_server(const Ticket& ticket, bool at_server);
  // A second finish of the same ticket does nothing.
  void finish(const Ticket& ticket, const Finish& finish);

  // For requests that the inference server takes only so many of at once: ledger_places.hpp. Without the lock
  // no place is granted, and the figure inside is entered later.
  PlaceAnswer share_places(const PlaceClaim& claim);

  // For the supervisor, once that proxy is dead: its requests become errored, and its places are free. Says
  // how many requests.
  std::size_t settle(std::uint64_t owner);
  // The same for everyone else; 0 settles all. At the supervisor's start.
  std::size_t settle_all_except(std::uint64_t owner);

  void count(Counter counter, std::uint64_t n = 1) {
    words_.add(ledger_layout::kCounterTable + static_cast<std::size_t>(counter), n);
  }

  // For a proxy: what it has open now, said anew about once a second until it is settled.
  void say_open(std::uint64_t owner, const OpenNow& now) { write_open_now(words_, owner, now); }

  LedgerSnapshot snapshot();
  Pulse pulse() const { return read_pulse(words_); }
  // The next report begins at these totals, which were reported. A late one doesn't move the base back.
  void acknowledge(const Totals& reported);

  // The oldest of the finished requests that the autoscaler hasn't heard of, and their removal once it has.
  std::vector<std::int64_t> finished(bool success, std::size_t most);
  void forget_finished(bool success, std::size_t n);

  // Sessions: what each answers is said in ledger_sessions.hpp. `now` is unix_milliseconds().
  SessionCreation create_session(const NewSession& session, std::size_t most, std::int64_t now);
  std::pair<SessionVerdict, SessionRecord> find_session(std::string_view id, std::int64_t now);
  SessionVerdict touch_session(std::string_view id, const SessionDigest& owner, std::int64_t now);
  std::pair<SessionVerdict, SessionRecord> begin_close_session(std::string_view id, std::int64_t now);
  void remove_session(std::string_view id);
  std::vector<std::string> expired_sessions(std::int64_t now);
  std::size_t session_count() const { return count_sessions(words_); }  // no lock: a gauge

 private:
  Ledger(LedgerFile file, LedgerOptions options);

  using Change = std::function<void()>;
  LedgerLock lock();
  // Runs `change` under the lock, now or with the next call that gets it. False when it was put off.
  template <class SomeChange>
  bool enter(SomeChange change);
  void put_off(Change change);
  void enter_deferred();
  LedgerTransaction begin() { return LedgerTransaction(words_, options_.test_point); }
  void watch_numbering(std::uint64_t reqnum, Verdict verdict, std::uint64_t highest);
  std::size_t settle_where(const std::function<bool(std::uint64_t owner)>& dead);

  LedgerFile file_;
  LedgerWords words_;
  LedgerOptions options_;
  NumberingWatch numbering_;

  std::mutex deferred_mutex_;  // never taken while waiting for the ledger's lock
  std::vector<Change> deferred_;
  std::atomic<bool> has_deferred_ = false;

  std::mutex last_mutex_;
  LedgerSnapshot last_;  // what snapshot() falls back to
};

}  // namespace cppworker
