// What is entered into the books, as changes of one transaction: a request opened, closed, refused.
//
// Pure over the transaction: no lock, no clock, no file. ledger.hpp puts these under the lock and commits.
// Units: work in milli work units (integers, so that sums are exact), durations in seconds.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/ledger_transaction.hpp"

namespace cppworker {

// More work than this in one request (10^9 work units) is a mistake or an attack on the sums, and counts as
// this.
inline constexpr std::int64_t kMostWorkMilli = 1'000'000'000'000;

enum class Outcome { kServed, kErrored, kCancelled };

// A request that was authenticated and is let in.
struct Acceptance {
  int endpoint = -1;  // from Ledger::endpoint(); -1 counts in the totals alone
  std::int64_t work_milli = 0;
  std::optional<std::int64_t> request_idx;
  std::optional<std::uint64_t> reqnum;
  bool once =
      false;  // full signature, which covers reqnum: refuse a used one; without a reqnum always refused
};

enum class Verdict {
  kAccepted,   // in the books: finish() must follow
  kReplayed,   // this reqnum was accepted before
  kStale,      // too far below the highest accepted reqnum
  kTableFull,  // 4096 requests are in flight
  kLocked,     // a stopped process holds the ledger's lock
};

// A request in the books. The generation tells it from the next one in the same slot.
struct Ticket {
  std::uint32_t slot = 0;
  std::uint64_t generation = 0;
};

struct Finish {
  Outcome outcome = Outcome::kServed;
  double seconds = 0;                        // from acceptance to the response's end
  std::optional<double> first_byte_seconds;  // from acceptance to the response's first byte, if there was one
};

// The replay rule alone (replay_window.hpp), for a reqnum that a signature covers: kAccepted, kReplayed or
// kStale; and its use, once it was accepted.
Verdict judge_reqnum(const LedgerTransaction& books, std::uint64_t reqnum);
void use_reqnum(LedgerTransaction& books, std::uint64_t reqnum);

// What accept_request would answer, changing nothing.
Verdict judge_request(const LedgerTransaction& books, const Acceptance& request);

// Everything but kAccepted leaves the transaction empty.
std::pair<Verdict, Ticket> accept_request(LedgerTransaction& books, std::uint64_t owner,
                                          const Acceptance& request, std::int64_t now_unix_ms);

// Authenticated, but not let in: received and rejected at once.
void reject_request(LedgerTransaction& books, int endpoint, std::int64_t work_milli,
                    std::optional<std::int64_t> request_idx);

// False, and nothing changed, when the ticket's request is finished already.
bool finish_request(LedgerTransaction& books, const Ticket& ticket, const Finish& finish);

// Ends a request whose proxy died: errored, and in no histogram, since nobody knows when it ended.
void settle_request(LedgerTransaction& books, std::uint32_t slot);

// The endpoint's slot, made when there is none; -1 when all are taken. Names are cut at 119 bytes.
int find_or_make_endpoint(LedgerTransaction& books, std::string_view name);

// The oldest `most` entries of a ring, and their removal. `n` more than there are removes all.
std::vector<std::int64_t> oldest_finished(const LedgerTransaction& books, bool success, std::size_t most);
void drop_oldest_finished(LedgerTransaction& books, bool success, std::size_t n);

}  // namespace cppworker
