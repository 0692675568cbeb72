#include "metrics/ledger.hpp"

#include <spdlog/spdlog.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>

#include "metrics/ledger_check.hpp"

namespace cppworker {
namespace {

using namespace ledger_layout;

// Changes put off while the lock can't be had: as many as can be in flight, and as many refusals again.
// Beyond that something else is badly wrong, and memory has to stay bounded.
constexpr std::size_t kMostDeferred = 2 * kSlots;

// Whether the books at hand can be continued; if not, why. Repairs what a dead process left.
Result<std::optional<std::string>> reason_to_begin_anew(LedgerFile& file, std::uint64_t identity,
                                                        std::chrono::milliseconds bound) {
  if (file.identity() != identity) return std::optional<std::string>("it holds another worker's books");
  if (file.lock_alone()) {
    make_ledger_mutex(file.words());
    redo_journal(file.words());
  }
  if (auto locked = file.lock_shared(bound); !locked) return locked.error();
  LedgerLock lock(file.words(), bound);
  if (!lock) return fail("a stopped process holds its lock; continue or end that process");
  const TestPoint never;
  LedgerTransaction books(file.words(), never);
  if (std::size_t torn = remove_torn_sessions(books); torn > 0)
    spdlog::warn("Ledger: {} sessions are gone, their texts were damaged", torn);
  books.commit();
  return find_contradiction(file.words());
}

Result<void> move_aside(const std::string& path, const std::string& why) {
  std::string aside = path + ".old";
  if (std::rename(path.c_str(), aside.c_str()) != 0)
    return fail("cannot move " + path + " aside: " + std::strerror(errno));
  spdlog::warn("Ledger {} begun anew, the former one is {}: {}", path, aside, why);
  return {};
}

}  // namespace

std::int64_t unix_milliseconds() {
  auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::milliseconds>(now).count();
}

Ledger::Ledger(LedgerFile file, LedgerOptions options)
    : file_(std::move(file)), words_(file_.words()), options_(std::move(options)) {}

Result<std::unique_ptr<Ledger>> Ledger::create(const std::string& path, std::string_view identity,
                                               LedgerOptions options) {
  std::uint64_t hash = identity_hash(identity);
  auto found = LedgerFile::find(path);
  if (!found) return found.error();
  std::optional<std::string> anew;
  if (found->kind == LedgerFile::Kind::kForeign) anew = found->why;
  if (found->kind == LedgerFile::Kind::kUsable) {
    auto reason = reason_to_begin_anew(*found->file, hash, options.lock_bound);
    if (!reason) return wrap("cannot continue the ledger " + path, reason.error());
    anew = *reason;
    if (!anew) return std::unique_ptr<Ledger>(new Ledger(std::move(*found->file), std::move(options)));
  }
  if (anew) {
    if (auto moved = move_aside(path, *anew); !moved) return moved.error();
  }
  auto made = LedgerFile::make(path, hash);
  if (!made) return made.error();
  return std::unique_ptr<Ledger>(new Ledger(std::move(*made), std::move(options)));
}

Result<std::unique_ptr<Ledger>> Ledger::attach(const std::string& path, LedgerOptions options) {
  auto found = LedgerFile::find(path);
  if (!found) return wrap("cannot attach to the ledger", found.error());
  if (found->kind == LedgerFile::Kind::kAbsent)
    return fail("cannot attach to the ledger " + path + ": there is none; the supervisor makes it");
  if (found->kind == LedgerFile::Kind::kForeign)
    return fail("cannot attach to the ledger " + path + ": " + found->why);
  if (auto locked = found->file->lock_shared(options.lock_bound); !locked)
    return wrap("cannot attach to the ledger " + path, locked.error());
  return std::unique_ptr<Ledger>(new Ledger(std::move(*found->file), std::move(options)));
}

LedgerLock Ledger::lock() {
  LedgerLock held(words_, options_.lock_bound);
  if (held && has_deferred_.load(std::memory_order_acquire)) enter_deferred();
  return held;
}

void Ledger::put_off(Change change) {
  std::lock_guard guard(deferred_mutex_);
  if (deferred_.size() >= kMostDeferred) return;
  deferred_.push_back(std::move(change));
  has_deferred_.store(true, std::memory_order_release);
}

void Ledger::enter_deferred() {
  std::vector<Change> changes;
  {
    std::lock_guard guard(deferred_mutex_);
    changes.swap(deferred_);
    has_deferred_.store(false, std::memory_order_release);
  }
  for (const Change& change : changes) change();
}

// A template, so that the nearly certain case, entering it now, allocates nothing.
template <class SomeChange>
bool Ledger::enter(SomeChange change) {
  LedgerLock held = lock();
  if (held) {
    change();
    return true;
  }
  put_off(std::move(change));
  return false;
}

void Ledger::numbered_for(std::string_view url) {
  enter([this, hash = identity_hash(url)] {
    LedgerTransaction books = begin();
    const std::uint64_t before = books.get(kUrlWord);
    if (before == hash) return;
    books.set(kUrlWord, hash);
    if (before != 0) {
      spdlog::warn("Ledger: the worker has another URL than before; request numbers begin anew");
      books.set(kReplayHighest, 0);
      for (std::size_t i = 0; i < kReplayBitsWords; ++i) books.set(kReplayBits + i, 0);
      books.set(kDistinctHighest, 0);
      for (std::size_t i = 0; i < kDistinctBitsWords; ++i) books.set(kDistinctBits + i, 0);
    }
    books.commit();
  });
}

int Ledger::endpoint(std::string_view name) {
  LedgerLock held = lock();
  if (!held) return -1;
  LedgerTransaction books = begin();
  int index = find_or_make_endpoint(books, name);
  books.commit();
  return index;
}

std::pair<Verdict, Ticket> Ledger::accept(std::uint64_t owner, const Acceptance& request) {
  std::int64_t now = unix_milliseconds();
  std::pair<Verdict, Ticket> accepted;
  std::uint64_t highest = 0;
  {
    LedgerLock held = lock();
    if (!held) return {Verdict::kLocked, {}};
    LedgerTransaction books = begin();
    accepted = accept_request(books, owner, request, now);
    books.commit();
    highest = books.get(kReplayHighest);
  }
  if (request.once && request.reqnum) watch_numbering(*request.reqnum, accepted.first, highest);
  return accepted;
}

// After the lock is let go: whoever waits for it shouldn't wait for the log.
void Ledger::watch_numbering(std::uint64_t reqnum, Verdict verdict, std::uint64_t highest) {
  if (verdict == Verdict::kAccepted) numbering_.accepted();
  if (verdict != Verdict::kStale) return;
  if (auto said = numbering_.too_old(reqnum, highest, std::chrono::steady_clock::now()))
    spdlog::warn("{}", *said);
}

Verdict Ledger::peek(const Acceptance& request) {
  LedgerLock held = lock();
  if (!held) return Verdict::kLocked;
  return judge_request(begin(), request);
}

void Ledger::reject(int endpoint, std::int64_t work_milli, std::optional<std::int64_t> request_idx) {
  enter([this, endpoint, work_milli, request_idx] {
    LedgerTransaction books = begin();
    reject_request(books, endpoint, work_milli, request_idx);
    books.commit();
  });
}

void Ledger::note_at_server(const Ticket& ticket, bool at_server) {
  const std::size_t place = slot(ticket.slot);
  if (words_.load(place + kSlotGeneration) != ticket.generation) return;
  const std::uint64_t others = words_.load(place + kSlotFlags) & ~kSlotAtServer;
  words_.store(place + kSlotFlags, others | (at_server ? kSlotAtServer : 0));
}

void Ledger::finish(const Ticket& ticket, const Finish& finish) {
  enter([this, ticket, finish] {
    LedgerTransaction books = begin();
    if (finish_request(books, ticket, finish)) books.commit();
  });
}

PlaceAnswer Ledger::share_places(const PlaceClaim& claim) {
  LedgerLock held = lock();
  if (held) {
    LedgerTransaction books = begin();
    PlaceAnswer answer = cppworker::share_places(books, claim);
    books.commit();
    return answer;
  }
  // Nobody will hear of a place that is granted by then.
  PlaceClaim figures = claim;
  figures.wanted_since = 0;
  put_off([this, figures] {
    LedgerTransaction books = begin();
    cppworker::share_places(books, figures);
    books.commit();
  });
  return {};
}

std::size_t Ledger::settle_where(const std::function<bool(std::uint64_t)>& dead) {
  clear_open_now(words_, dead);
  std::size_t settled = 0;
  for (std::uint32_t i = 0; i < kSlots; ++i) {
    std::uint64_t owner = words_.load(slot(i) + kSlotOwner);
    if (owner == 0 || !dead(owner)) continue;
    LedgerTransaction books = begin();
    settle_request(books, i);
    books.commit();
    ++settled;
  }
  for (std::size_t group = 0; group < kPlaceGroups; ++group) {
    LedgerTransaction books = begin();
    free_places(books, group, dead);
    books.commit();
  }
  return settled;
}

std::size_t Ledger::settle(std::uint64_t owner) {
  auto settled = std::make_shared<std::size_t>(0);
  enter([this, owner, settled] {
    *settled = settle_where([owner](std::uint64_t other) { return other == owner; });
  });
  return *settled;
}

std::size_t Ledger::settle_all_except(std::uint64_t owner) {
  auto settled = std::make_shared<std::size_t>(0);
  enter([this, owner, settled] {
    *settled = settle_where([owner](std::uint64_t other) { return other != owner; });
  });
  return *settled;
}

LedgerSnapshot Ledger::snapshot() {
  LedgerLock held = lock();
  std::lock_guard guard(last_mutex_);
  if (!held) {
    last_.outdated = true;
    return last_;
  }
  last_ = read_snapshot(words_);
  return last_;
}

void Ledger::acknowledge(const Totals& reported) {
  enter([this, reported] {
    LedgerTransaction books = begin();
    auto raise = [&books](std::size_t word, std::int64_t value) {
      if (static_cast<std::int64_t>(books.get(word)) < value)
        books.set(word, static_cast<std::uint64_t>(value));
    };
    raise(kAckReceivedWork, reported.received.work_milli);
    raise(kAckCancelledWork, reported.cancelled.work_milli);
    raise(kAckRejectedWork, reported.rejected.work_milli);
    raise(kAckServedWork, reported.served.work_milli);
    books.add(kAckSequence, 1);
    books.commit();
  });
  // An outdated snapshot must not report again what was just acknowledged.
  std::lock_guard guard(last_mutex_);
  Acknowledged& base = last_.acknowledged;
  base.received_milli = std::max(base.received_milli, reported.received.work_milli);
  base.cancelled_milli = std::max(base.cancelled_milli, reported.cancelled.work_milli);
  base.rejected_milli = std::max(base.rejected_milli, reported.rejected.work_milli);
  base.served_milli = std::max(base.served_milli, reported.served.work_milli);
}

std::vector<std::int64_t> Ledger::finished(bool success, std::size_t most) {
  LedgerLock held = lock();
  if (!held) return {};
  return oldest_finished(begin(), success, most);
}

void Ledger::forget_finished(bool success, std::size_t n) {
  enter([this, success, n] {
    LedgerTransaction books = begin();
    drop_oldest_finished(books, success, n);
    books.commit();
  });
}

SessionCreation Ledger::create_session(const NewSession& session, std::size_t most, std::int64_t now) {
  SessionCreation created;
  std::uint64_t highest = 0;
  {
    LedgerLock held = lock();
    if (!held) return SessionCreation::kLocked;
    LedgerTransaction books = begin();
    created = cppworker::create_session(books, session, most, now);
    books.commit();
    highest = books.get(kReplayHighest);
  }
  if (session.reqnum_once) {
    if (created == SessionCreation::kCreated)
      watch_numbering(*session.reqnum_once, Verdict::kAccepted, highest);
    if (created == SessionCreation::kStale) watch_numbering(*session.reqnum_once, Verdict::kStale, highest);
  }
  return created;
}

std::pair<SessionVerdict, SessionRecord> Ledger::find_session(std::string_view id, std::int64_t now) {
  LedgerLock held = lock();
  if (!held) return {SessionVerdict::kLocked, {}};
  return cppworker::find_session(begin(), id, now);
}

SessionVerdict Ledger::touch_session(std::string_view id, const SessionDigest& owner, std::int64_t now) {
  LedgerLock held = lock();
  if (!held) return SessionVerdict::kLocked;
  LedgerTransaction books = begin();
  SessionVerdict verdict = cppworker::touch_session(books, id, owner, now);
  books.commit();
  return verdict;
}

std::pair<SessionVerdict, SessionRecord> Ledger::begin_close_session(std::string_view id, std::int64_t now) {
  LedgerLock held = lock();
  if (!held) return {SessionVerdict::kLocked, {}};
  LedgerTransaction books = begin();
  auto closing = cppworker::begin_close_session(books, id, now);
  books.commit();
  return closing;
}

void Ledger::remove_session(std::string_view id) {
  enter([this, id = std::string(id)] {
    LedgerTransaction books = begin();
    if (cppworker::remove_session(books, id)) books.commit();
  });
}

std::vector<std::string> Ledger::expired_sessions(std::int64_t now) {
  LedgerLock held = lock();
  if (!held) return {};
  return cppworker::expired_sessions(begin(), now);
}

}  // namespace cppworker
