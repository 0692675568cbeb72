#include "metrics/ledger_sessions.hpp"

#include <algorithm>
#include <bit>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <stdexcept>

#include "metrics/ledger_books.hpp"

namespace cppworker {
namespace {

using namespace ledger_layout;

constexpr std::array kTexts = {SessionText::kAuthData, SessionText::kOnCloseRoute,
                               SessionText::kOnClosePayload};

using IdWords = std::array<std::uint64_t, kSessionIdWords>;
static_assert(kSessionIdLength < sizeof(IdWords));

std::int64_t time_at(const LedgerTransaction& books, std::size_t word) {
  return static_cast<std::int64_t>(books.get(word));
}

std::size_t size_word(std::size_t index, SessionText kind) {
  return session(index) + kSessionSizes + static_cast<std::size_t>(kind);
}

std::optional<IdWords> words_of(std::string_view id) {
  if (id.size() != kSessionIdLength) return std::nullopt;
  IdWords words{};
  std::memcpy(words.data(), id.data(), id.size());
  return words;
}

std::optional<std::size_t> find_slot(const LedgerTransaction& books, std::string_view id) {
  auto wanted = words_of(id);
  if (!wanted) return std::nullopt;
  for (std::size_t i = 0; i < kSessions; ++i) {
    if (books.get(session(i) + kSessionState) == kSessionFree) continue;
    if (books.get(session(i) + kSessionId) == (*wanted)[0] &&
        books.get(session(i) + kSessionId + 1) == (*wanted)[1])
      return i;
  }
  return std::nullopt;
}

// Bytes from `begin` on, at most `size`, as one word; a text's last word is filled up with zeros.
std::uint64_t word_of(std::string_view text, std::size_t begin) {
  std::uint64_t word = 0;
  std::memcpy(&word, text.data() + begin, std::min(text.size() - begin, sizeof word));
  return word;
}

void write_text(LedgerTransaction& books, std::size_t index, SessionText kind, std::string_view text) {
  if (text.size() > longest_text(kind)) throw std::logic_error("a session's text is longer than its place");
  std::size_t place = session_text(index, kind);
  for (std::size_t begin = 0; begin < text.size(); begin += sizeof(std::uint64_t))
    books.write_aside(place + begin / sizeof(std::uint64_t), word_of(text, begin));
}

// No more than its place holds, whatever the file says.
std::size_t text_size(const LedgerTransaction& books, std::size_t index, SessionText kind) {
  return std::min<std::uint64_t>(books.get(size_word(index, kind)), longest_text(kind));
}

std::string read_text(const LedgerTransaction& books, std::size_t index, SessionText kind) {
  std::string text(text_size(books, index, kind), '\0');
  std::size_t place = session_text(index, kind);
  for (std::size_t begin = 0; begin < text.size(); begin += sizeof(std::uint64_t)) {
    std::uint64_t word = books.get(place + begin / sizeof word);
    std::memcpy(text.data() + begin, &word, std::min(text.size() - begin, sizeof word));
  }
  return text;
}

// FNV-1a over whole words: finds what a lost page left, no attacker's work.
std::uint64_t hash_texts(const LedgerTransaction& books, std::size_t index,
                         const std::array<std::size_t, kSessionTextKinds>& sizes) {
  std::uint64_t hash = 0xcbf29ce484222325;
  auto mix = [&hash](std::uint64_t word) { hash = (hash ^ word) * 0x100000001b3; };
  for (SessionText kind : kTexts) {
    std::size_t size = sizes[static_cast<std::size_t>(kind)];
    mix(size);
    std::size_t words = (size + sizeof(std::uint64_t) - 1) / sizeof(std::uint64_t);
    for (std::size_t i = 0; i < words; ++i) mix(books.get(session_text(index, kind) + i));
  }
  return hash;
}

bool has_expired(const LedgerTransaction& books, std::size_t index, std::int64_t now) {
  return time_at(books, session(index) + kSessionExpiration) <= now;
}

// Whoever took it on is dead or stuck. The distance, not the difference: a clock that was set back must not
// keep it closing until the clock is there again.
bool is_abandoned(const LedgerTransaction& books, std::size_t index, std::int64_t now) {
  return std::abs(now - time_at(books, session(index) + kSessionClosingSince)) >= kClosingBound.count();
}

SessionRecord read_record(const LedgerTransaction& books, std::size_t index) {
  std::size_t place = session(index);
  SessionRecord record;
  for (std::size_t i = 0; i < kSessionIdWords; ++i) {
    auto bytes = std::bit_cast<std::array<char, 8>>(books.get(place + kSessionId + i));
    record.id.append(bytes.data(), bytes.size());
  }
  record.id.resize(kSessionIdLength);
  for (std::size_t i = 0; i < kSessionDigestWords; ++i) {
    std::uint64_t word = books.get(place + kSessionDigest + i);
    std::memcpy(record.auth_digest.data() + i * sizeof word, &word, sizeof word);
  }
  record.lifetime_ms = time_at(books, place + kSessionLifetime);
  record.created_unix_ms = time_at(books, place + kSessionCreated);
  record.expiration_unix_ms = time_at(books, place + kSessionExpiration);
  record.auth_data = read_text(books, index, SessionText::kAuthData);
  record.on_close_route = read_text(books, index, SessionText::kOnCloseRoute);
  record.on_close_payload = read_text(books, index, SessionText::kOnClosePayload);
  return record;
}

// Looks at all of it, wherever it differs.
bool owned_by(const LedgerTransaction& books, std::size_t index, const SessionDigest& owner) {
  std::uint64_t difference = 0;
  for (std::size_t i = 0; i < kSessionDigestWords; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, owner.data() + i * sizeof word, sizeof word);
    difference |= word ^ books.get(session(index) + kSessionDigest + i);
  }
  return difference == 0;
}

}  // namespace

SessionCreation create_session(LedgerTransaction& books, const NewSession& wanted, std::size_t most,
                               std::int64_t now) {
  auto id = words_of(wanted.id);
  if (!id) throw std::logic_error("a session's id must have 13 characters");
  if (wanted.reqnum_once) {
    Verdict verdict = judge_reqnum(books, *wanted.reqnum_once);
    if (verdict == Verdict::kReplayed) return SessionCreation::kReplayed;
    if (verdict == Verdict::kStale) return SessionCreation::kStale;
  }
  std::size_t taken = 0, of_grant = 0, of_address = 0;
  std::optional<std::size_t> free;
  for (std::size_t i = 0; i < kSessions; ++i) {
    if (books.get(session(i) + kSessionState) != kSessionFree) {
      ++taken;
      const std::uint64_t source = books.get(session(i) + kSessionSource);
      if (static_cast<std::uint32_t>(source) == wanted.grant) ++of_grant;
      if (wanted.address != 0 && static_cast<std::uint32_t>(source >> 32) == wanted.address) ++of_address;
    } else if (!free) {
      free = i;
    }
  }
  if (taken >= most || !free) return SessionCreation::kFull;
  if (of_grant >= wanted.most_of_grant) return SessionCreation::kGrantFull;
  if (of_address >= wanted.most_of_address) return SessionCreation::kAddressFull;

  std::size_t place = session(*free);
  std::array<std::size_t, kSessionTextKinds> sizes = {wanted.auth_data.size(), wanted.on_close_route.size(),
                                                      wanted.on_close_payload.size()};
  write_text(books, *free, SessionText::kAuthData, wanted.auth_data);
  write_text(books, *free, SessionText::kOnCloseRoute, wanted.on_close_route);
  write_text(books, *free, SessionText::kOnClosePayload, wanted.on_close_payload);
  std::uint64_t hash = hash_texts(books, *free, sizes);

  books.set(place + kSessionState, kSessionOpen);
  for (std::size_t i = 0; i < kSessionIdWords; ++i) books.set(place + kSessionId + i, (*id)[i]);
  for (std::size_t i = 0; i < kSessionDigestWords; ++i) {
    std::uint64_t word = 0;
    std::memcpy(&word, wanted.auth_digest.data() + i * sizeof word, sizeof word);
    books.set(place + kSessionDigest + i, word);
  }
  books.set(place + kSessionLifetime, static_cast<std::uint64_t>(wanted.lifetime_ms));
  books.set(place + kSessionCreated, static_cast<std::uint64_t>(now));
  books.set(place + kSessionExpiration, static_cast<std::uint64_t>(now + wanted.lifetime_ms));
  for (std::size_t i = 0; i < kSessionTextKinds; ++i) books.set(place + kSessionSizes + i, sizes[i]);
  books.set(place + kSessionTextHash, hash);
  books.set(place + kSessionSource, std::uint64_t{wanted.address} << 32 | wanted.grant);
  if (wanted.reqnum_once) use_reqnum(books, *wanted.reqnum_once);
  return SessionCreation::kCreated;
}

std::pair<SessionVerdict, SessionRecord> find_session(const LedgerTransaction& books, std::string_view id,
                                                      std::int64_t now) {
  auto index = find_slot(books, id);
  if (!index) return {SessionVerdict::kUnknown, {}};
  bool open = books.get(session(*index) + kSessionState) == kSessionOpen;
  if (open && has_expired(books, *index, now)) return {SessionVerdict::kUnknown, {}};
  return {open ? SessionVerdict::kOpen : SessionVerdict::kClosing, read_record(books, *index)};
}

SessionVerdict touch_session(LedgerTransaction& books, std::string_view id, const SessionDigest& owner,
                             std::int64_t now) {
  auto index = find_slot(books, id);
  if (!index) return SessionVerdict::kUnknown;
  if (!owned_by(books, *index, owner)) return SessionVerdict::kWrongOwner;
  std::size_t place = session(*index);
  if (books.get(place + kSessionState) != kSessionOpen) return SessionVerdict::kClosing;
  if (has_expired(books, *index, now)) return SessionVerdict::kUnknown;
  // A request that waited for the lock must not take back what a later one was given.
  std::int64_t expiration =
      std::max(time_at(books, place + kSessionExpiration), now + time_at(books, place + kSessionLifetime));
  books.set(place + kSessionExpiration, static_cast<std::uint64_t>(expiration));
  return SessionVerdict::kOpen;
}

std::pair<SessionVerdict, SessionRecord> begin_close_session(LedgerTransaction& books, std::string_view id,
                                                             std::int64_t now) {
  auto index = find_slot(books, id);
  if (!index) return {SessionVerdict::kUnknown, {}};
  std::size_t place = session(*index);
  if (books.get(place + kSessionState) == kSessionClosing && !is_abandoned(books, *index, now))
    return {SessionVerdict::kClosing, read_record(books, *index)};
  books.set(place + kSessionState, kSessionClosing);
  books.set(place + kSessionClosingSince, static_cast<std::uint64_t>(now));
  return {SessionVerdict::kOpen, read_record(books, *index)};
}

bool remove_session(LedgerTransaction& books, std::string_view id) {
  auto index = find_slot(books, id);
  if (index) books.set(session(*index) + kSessionState, kSessionFree);
  return index.has_value();
}

std::vector<std::string> expired_sessions(const LedgerTransaction& books, std::int64_t now) {
  std::vector<std::string> ids;
  for (std::size_t i = 0; i < kSessions; ++i) {
    std::uint64_t state = books.get(session(i) + kSessionState);
    if (state == kSessionFree) continue;
    if (state == kSessionOpen ? has_expired(books, i, now) : is_abandoned(books, i, now))
      ids.push_back(read_record(books, i).id);
  }
  return ids;
}

std::size_t count_sessions(LedgerWords words) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < kSessions; ++i) count += words.load(session(i) + kSessionState) != kSessionFree;
  return count;
}

std::size_t remove_torn_sessions(LedgerTransaction& books) {
  std::size_t removed = 0;
  for (std::size_t i = 0; i < kSessions; ++i) {
    std::uint64_t state = books.get(session(i) + kSessionState);
    if (state == kSessionFree) continue;
    std::array<std::size_t, kSessionTextKinds> sizes{};
    for (SessionText kind : kTexts) sizes[static_cast<std::size_t>(kind)] = text_size(books, i, kind);
    bool whole =
        state <= kSessionClosing && hash_texts(books, i, sizes) == books.get(session(i) + kSessionTextHash);
    if (whole) continue;
    books.set(session(i) + kSessionState, kSessionFree);
    ++removed;
  }
  return removed;
}

}  // namespace cppworker
