// The sessions' table of the books: a session opened, used, closed, removed (protocol section 5).
//
// Pure over the transaction: no lock, no clock, no file. ledger.hpp puts these under the lock and commits.
// Times are UNIX milliseconds as integers, so that what one process writes another compares exactly.
//
// A session's texts are too long for the journal. So they are written aside, into a slot that is free, and
// the small transaction that makes the slot somebody's comes after them:
//
//   texts -> slot's place;  { state = open, id, digest, times, sizes }      removal: { state = free }
//
// A process killed before the transaction leaves bytes in a free slot, which nobody reads. A text doesn't
// change while its session lives.
//
// States of a slot:
//
//   free     create -> open
//   open     touch -> open, later expiration;  begin_close -> closing, given to that caller alone
//   closing  remove -> free;  begin_close after kClosingBound -> closing, given to the next caller
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "metrics/ledger_transaction.hpp"

namespace cppworker {

// Letters and digits.
inline constexpr std::size_t kSessionIdLength = 13;

// What tells the session's owner: a digest of the auth_data that created it. Opaque here.
using SessionDigest = std::array<unsigned char, ledger_layout::kSessionDigestWords * 8>;

// A caller that took a closing on and died would keep the session closing for ever. What it has to do takes
// 10 s at most (the POST to on_close_route) and two waits for the lock.
inline constexpr std::chrono::milliseconds kClosingBound(30'000);

struct NewSession {
  std::string_view id;
  SessionDigest auth_digest{};
  std::int64_t lifetime_ms = 0;
  // As long as ledger_layout::longest_text at most. An empty one: none was given.
  std::string_view auth_data;
  std::string_view on_close_route;
  std::string_view on_close_payload;
  // Who asked for it, twice: by the route that was granted, and by the client's address (0: not counted).
  // Opaque here. How many sessions of each may be there, this one included.
  std::uint32_t grant = 0, address = 0;
  std::size_t most_of_grant = ledger_layout::kSessions;
  std::size_t most_of_address = ledger_layout::kSessions;
  // Of a full signature, which covers it: used up by the creation, and by nothing but that.
  std::optional<std::uint64_t> reqnum_once = {};
};

struct SessionRecord {
  std::string id;
  SessionDigest auth_digest{};
  std::int64_t lifetime_ms = 0;
  std::int64_t created_unix_ms = 0;
  std::int64_t expiration_unix_ms = 0;
  std::string auth_data, on_close_route, on_close_payload;
};

enum class SessionCreation {
  kCreated,
  kFull,         // as many as allowed are there already
  kGrantFull,    // as many of this grant as allowed are there already
  kAddressFull,  // the same of this address
  kReplayed,     // reqnum_once was accepted before
  kStale,        // or is too far below the highest accepted one
  kLocked,       // a stopped process holds the ledger's lock
};

enum class SessionVerdict {
  kOpen,
  kClosing,     // somebody is ending it
  kUnknown,     // there is none of this id, or it has expired
  kWrongOwner,  // the digest is another one
  kLocked,      // a stopped process holds the ledger's lock
};

// Fails when `most` sessions are there, closing ones included, or all slots are taken. Beyond the limits of a
// NewSession it throws std::logic_error: who takes a stranger's texts has to check them.
SessionCreation create_session(LedgerTransaction& books, const NewSession& session, std::size_t most,
                               std::int64_t now);

// kOpen, kClosing or kUnknown; the record is valid with the first two.
std::pair<SessionVerdict, SessionRecord> find_session(const LedgerTransaction& books, std::string_view id,
                                                      std::int64_t now);

// Used by its owner: it lives for its lifetime from now on. Anything but kOpen changes nothing.
SessionVerdict touch_session(LedgerTransaction& books, std::string_view id, const SessionDigest& owner,
                             std::int64_t now);

// kOpen: it was, and the closing is the caller's, who ends with remove_session. So it says to one caller, and
// to another one only when the first hasn't come to the end within kClosingBound. An expired one can be
// closed: that is how it ends. The record is valid with kOpen and kClosing.
std::pair<SessionVerdict, SessionRecord> begin_close_session(LedgerTransaction& books, std::string_view id,
                                                             std::int64_t now);

// False, and nothing changed, when there is none.
bool remove_session(LedgerTransaction& books, std::string_view id);

// What is to be closed: the expired ones, and those whose closing came to nothing.
std::vector<std::string> expired_sessions(const LedgerTransaction& books, std::int64_t now);

// Sessions that are there, closing ones included.
std::size_t count_sessions(LedgerWords words);

// Removes sessions whose texts aren't those that were written: a machine that lost power may have kept a
// slot's page and lost the texts'. Says how many. For the supervisor that continues the file.
std::size_t remove_torn_sessions(LedgerTransaction& books);

}  // namespace cppworker
