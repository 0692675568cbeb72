// The sessions' table, seen by one process at a time; ledger_sessions_crash_test.cpp has the others.
#include "metrics/ledger_sessions.hpp"

#include <algorithm>
#include <fstream>
#include <limits>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

namespace layout = ledger_layout;
using layout::SessionText;

constexpr std::int64_t kNow = 1'700'000'000'000;
constexpr std::int64_t kLifetime = 60'000;
constexpr std::size_t kMost = 10;

class LedgerSessionsTest : public LedgerTest {
 protected:
  // Thirteen characters that end in the number.
  static std::string id(int number) {
    std::string digits = std::to_string(number);
    return std::string(kSessionIdLength - digits.size(), 's') + digits;
  }
  static SessionDigest owner(int number) {
    SessionDigest digest;
    digest.fill(static_cast<unsigned char>(number));
    return digest;
  }
  static NewSession session(const std::string& id, int number = 1) {
    return {id, owner(number), kLifetime, R"({"a":1})", "/close", R"({"b":2})"};
  }

  SessionCreation create(int number, std::int64_t now = kNow) {
    std::string name = id(number);
    return ledger_->create_session(session(name, number), kMost, now);
  }
  SessionVerdict verdict(int number, std::int64_t now = kNow) {
    return ledger_->find_session(id(number), now).first;
  }
  std::int64_t expiration(int number) {
    return ledger_->find_session(id(number), kNow).second.expiration_unix_ms;
  }
  SessionVerdict touch(int number, std::int64_t now) {
    return ledger_->touch_session(id(number), owner(number), now);
  }
  SessionVerdict begin_close(int number, std::int64_t now = kNow) {
    return ledger_->begin_close_session(id(number), now).first;
  }
  void reopen() {
    ledger_.reset();
    ledger_ = Ledger::create(path_, "container 1").value();
  }
  // What the file would hold after a machine went down.
  void damage(std::size_t word, std::uint64_t value) {
    ledger_.reset();
    std::fstream file(path_, std::ios::in | std::ios::out | std::ios::binary);
    file.seekp(static_cast<std::streamoff>(word * sizeof(value)));
    file.write(reinterpret_cast<const char*>(&value), sizeof(value));
    ASSERT_TRUE(file.good());
  }
};

TEST_F(LedgerSessionsTest, CreatedSessionIsFoundAsItWasGiven) {
  ASSERT_EQ(create(1), SessionCreation::kCreated);
  ASSERT_EQ(create(2, kNow + 5), SessionCreation::kCreated);
  auto [verdict, found] = ledger_->find_session(id(2), kNow);
  EXPECT_EQ(verdict, SessionVerdict::kOpen);
  EXPECT_EQ(found.id, id(2));
  EXPECT_EQ(found.auth_digest, owner(2));
  EXPECT_EQ(found.lifetime_ms, kLifetime);
  EXPECT_EQ(found.created_unix_ms, kNow + 5);
  EXPECT_EQ(found.expiration_unix_ms, kNow + 5 + kLifetime);
  EXPECT_EQ(found.auth_data, R"({"a":1})");
  EXPECT_EQ(found.on_close_route, "/close");
  EXPECT_EQ(found.on_close_payload, R"({"b":2})");
  EXPECT_EQ(ledger_->session_count(), 2u);
}

TEST_F(LedgerSessionsTest, WhoAskedIsCountedByGrantAndByAddress) {
  auto create_for = [&](int number, std::uint32_t grant, std::uint32_t address) {
    std::string name = id(number);
    NewSession wanted = session(name, number);
    wanted.grant = grant;
    wanted.address = address;
    wanted.most_of_grant = 1;
    wanted.most_of_address = 2;
    return ledger_->create_session(wanted, kMost, kNow);
  };
  EXPECT_EQ(create_for(1, 11, 7), SessionCreation::kCreated);
  EXPECT_EQ(create_for(2, 11, 8), SessionCreation::kGrantFull);
  EXPECT_EQ(create_for(2, 12, 7), SessionCreation::kCreated);
  EXPECT_EQ(create_for(3, 13, 7), SessionCreation::kAddressFull);
  reopen();
  EXPECT_EQ(create_for(3, 13, 7), SessionCreation::kAddressFull) << "it is in the books";
  EXPECT_EQ(begin_close(1), SessionVerdict::kOpen);
  EXPECT_EQ(create_for(3, 11, 7), SessionCreation::kGrantFull) << "a closing one counts";
  ledger_->remove_session(id(1));
  EXPECT_EQ(create_for(3, 11, 7), SessionCreation::kCreated);
  for (int i = 4; i <= 7; ++i)
    EXPECT_EQ(create_for(i, static_cast<std::uint32_t>(20 + i), 0), SessionCreation::kCreated)
        << "without an address it isn't counted by one";
}

TEST_F(LedgerSessionsTest, TextsOfEveryLengthComeBackWhole) {
  auto text = [](std::size_t size, char first) {
    std::string made(size, '\0');
    for (std::size_t i = 0; i < size; ++i) made[i] = static_cast<char>(first + static_cast<char>(i % 90));
    return made;
  };
  std::vector<std::array<std::size_t, 3>> sizes = {{8192, 256, 16384}, {8191, 255, 16383}, {0, 0, 0}};
  for (std::size_t i = 0; i < 20; ++i) sizes.push_back({i, 20 - i, i + 100});
  for (const auto& [auth_size, route_size, payload_size] : sizes) {
    std::string auth = text(auth_size, '!'), route = text(route_size, '"'), payload = text(payload_size, '#');
    std::string name = id(1);
    ASSERT_EQ(ledger_->create_session({name, owner(1), kLifetime, auth, route, payload}, kMost, kNow),
              SessionCreation::kCreated);
    SessionRecord found = ledger_->find_session(name, kNow).second;
    EXPECT_EQ(found.auth_data, auth);
    EXPECT_EQ(found.on_close_route, route);
    EXPECT_EQ(found.on_close_payload, payload);
    ledger_->remove_session(name);
  }
}

TEST_F(LedgerSessionsTest, NeighboursTextsDontTouchEachOther) {
  std::string longest(16384, 'x');
  for (int i = 1; i <= 5; ++i) {
    std::string name = id(i), auth(8192, static_cast<char>('a' + i)), route(256, static_cast<char>('A' + i));
    ledger_->create_session({name, owner(i), kLifetime, auth, route, longest}, kMost, kNow);
  }
  for (int i = 1; i <= 5; ++i) {
    SessionRecord found = ledger_->find_session(id(i), kNow).second;
    EXPECT_EQ(found.auth_data, std::string(8192, static_cast<char>('a' + i)));
    EXPECT_EQ(found.on_close_route, std::string(256, static_cast<char>('A' + i)));
    EXPECT_EQ(found.on_close_payload, longest);
  }
}

TEST_F(LedgerSessionsTest, WhatHasNoPlaceIsACallersMistakeAndChangesNothing) {
  std::string name = id(1), text(16385, 'x');
  std::string_view all = text;
  EXPECT_THROW(ledger_->create_session({"short", {}, 1, "", "", ""}, kMost, kNow), std::logic_error);
  EXPECT_THROW(ledger_->create_session({name, {}, 1, all.substr(0, 8193), "", ""}, kMost, kNow),
               std::logic_error);
  EXPECT_THROW(ledger_->create_session({name, {}, 1, "", all.substr(0, 257), ""}, kMost, kNow),
               std::logic_error);
  EXPECT_THROW(ledger_->create_session({name, {}, 1, "", "", all}, kMost, kNow), std::logic_error);
  EXPECT_EQ(ledger_->session_count(), 0u);
  EXPECT_EQ(create(1), SessionCreation::kCreated);
}

TEST_F(LedgerSessionsTest, NoMoreThanAllowedAndClosingOnesCount) {
  for (int i = 0; i < static_cast<int>(kMost); ++i) ASSERT_EQ(create(i), SessionCreation::kCreated);
  EXPECT_EQ(create(100), SessionCreation::kFull);
  ASSERT_EQ(begin_close(3), SessionVerdict::kOpen);
  EXPECT_EQ(create(100), SessionCreation::kFull);
  ledger_->remove_session(id(3));
  EXPECT_EQ(create(100), SessionCreation::kCreated);
  EXPECT_EQ(verdict(100), SessionVerdict::kOpen);
  EXPECT_EQ(verdict(3), SessionVerdict::kUnknown);
}

TEST_F(LedgerSessionsTest, NoMoreThanThereAreSlotsWhateverIsAllowed) {
  constexpr std::size_t kUnlimited = std::numeric_limits<std::size_t>::max();
  for (int i = 0; i < static_cast<int>(layout::kSessions); ++i) {
    std::string name = id(i);
    ASSERT_EQ(ledger_->create_session(session(name), kUnlimited, kNow), SessionCreation::kCreated);
  }
  std::string name = id(1000);
  EXPECT_EQ(ledger_->create_session(session(name), kUnlimited, kNow), SessionCreation::kFull);
  EXPECT_EQ(ledger_->session_count(), layout::kSessions);
  EXPECT_EQ(ledger_->expired_sessions(kNow + kLifetime).size(), layout::kSessions);
}

TEST_F(LedgerSessionsTest, OthersIdsAreUnknown) {
  create(1);
  for (std::string other : {id(2), id(1).substr(1), id(1) + "x", std::string(), std::string(13, '\0')}) {
    EXPECT_EQ(ledger_->find_session(other, kNow).first, SessionVerdict::kUnknown);
    EXPECT_EQ(ledger_->touch_session(other, owner(1), kNow), SessionVerdict::kUnknown);
    EXPECT_EQ(ledger_->begin_close_session(other, kNow).first, SessionVerdict::kUnknown);
    ledger_->remove_session(other);
  }
  EXPECT_EQ(verdict(1), SessionVerdict::kOpen);
}

TEST_F(LedgerSessionsTest, ItsOwnersUsePushesTheExpirationOn) {
  create(1);
  EXPECT_EQ(touch(1, kNow + 20'000), SessionVerdict::kOpen);
  EXPECT_EQ(expiration(1), kNow + 20'000 + kLifetime);
  // One that waited for the lock takes nothing back.
  EXPECT_EQ(touch(1, kNow + 10'000), SessionVerdict::kOpen);
  EXPECT_EQ(expiration(1), kNow + 20'000 + kLifetime);
}

TEST_F(LedgerSessionsTest, AStrangersUseChangesNothing) {
  create(1);
  for (std::size_t byte = 0; byte < std::tuple_size_v<SessionDigest>; ++byte) {
    SessionDigest stranger = owner(1);
    stranger[byte] ^= 1;
    EXPECT_EQ(ledger_->touch_session(id(1), stranger, kNow + 1000), SessionVerdict::kWrongOwner);
  }
  EXPECT_EQ(expiration(1), kNow + kLifetime);
}

TEST_F(LedgerSessionsTest, AnExpiredSessionIsOverBeforeItIsSweptAway) {
  create(1);
  std::int64_t end = kNow + kLifetime;
  EXPECT_EQ(verdict(1, end - 1), SessionVerdict::kOpen);
  EXPECT_TRUE(ledger_->expired_sessions(end - 1).empty());
  EXPECT_EQ(verdict(1, end), SessionVerdict::kUnknown);
  EXPECT_EQ(touch(1, end), SessionVerdict::kUnknown);
  EXPECT_EQ(ledger_->expired_sessions(end), std::vector<std::string>{id(1)});
  // Closing it is how it ends, and what is to be posted then is still there.
  auto [verdict, record] = ledger_->begin_close_session(id(1), end);
  EXPECT_EQ(verdict, SessionVerdict::kOpen);
  EXPECT_EQ(record.on_close_payload, R"({"b":2})");
  EXPECT_TRUE(ledger_->expired_sessions(end).empty());
}

TEST_F(LedgerSessionsTest, TheClosingIsGivenToOneCaller) {
  create(1);
  EXPECT_EQ(begin_close(1), SessionVerdict::kOpen);
  auto [second, record] = ledger_->begin_close_session(id(1), kNow + 1);
  EXPECT_EQ(second, SessionVerdict::kClosing);
  EXPECT_EQ(record.auth_digest, owner(1));
  EXPECT_EQ(verdict(1), SessionVerdict::kClosing);
  EXPECT_EQ(touch(1, kNow), SessionVerdict::kClosing);
  EXPECT_TRUE(ledger_->expired_sessions(kNow + 29'999).empty());
  ledger_->remove_session(id(1));
  ledger_->remove_session(id(1));
  EXPECT_EQ(begin_close(1), SessionVerdict::kUnknown);
  EXPECT_EQ(ledger_->session_count(), 0u);
}

TEST_F(LedgerSessionsTest, AClosingThatCameToNothingIsGivenToTheNext) {
  create(1);
  begin_close(1);
  std::int64_t bound = kClosingBound.count();
  EXPECT_EQ(begin_close(1, kNow + bound - 1), SessionVerdict::kClosing);
  EXPECT_EQ(ledger_->expired_sessions(kNow + bound), std::vector<std::string>{id(1)});
  EXPECT_EQ(begin_close(1, kNow + bound), SessionVerdict::kOpen);
  EXPECT_EQ(begin_close(1, kNow + bound + 1), SessionVerdict::kClosing);
  EXPECT_EQ(begin_close(1, kNow + 2 * bound), SessionVerdict::kOpen);
}

TEST_F(LedgerSessionsTest, AClockSetBackDoesNotKeepAClosingForEver) {
  create(1);
  begin_close(1);
  std::int64_t before = kNow - kClosingBound.count();
  EXPECT_EQ(begin_close(1, before + 1), SessionVerdict::kClosing);
  EXPECT_EQ(ledger_->expired_sessions(before), std::vector<std::string>{id(1)});
  EXPECT_EQ(begin_close(1, before), SessionVerdict::kOpen);
}

TEST_F(LedgerSessionsTest, SessionsOutliveTheSupervisorAndAreSharedWithProxies) {
  auto proxy = Ledger::attach(path_).value();
  std::string name = id(1);
  ASSERT_EQ(proxy->create_session(session(name), kMost, kNow), SessionCreation::kCreated);
  proxy.reset();
  reopen();
  auto next = Ledger::attach(path_).value();
  EXPECT_EQ(next->find_session(name, kNow).second.auth_data, R"({"a":1})");
  EXPECT_EQ(ledger_->session_count(), 1u);
}

TEST_F(LedgerSessionsTest, ASessionWhoseTextsAreDamagedIsDroppedAndTheBooksStay) {
  const std::pair<std::size_t, std::uint64_t> damages[] = {
      {layout::session_text(1, SessionText::kAuthData), 0},
      {layout::session_text(1, SessionText::kOnCloseRoute), 0},
      {layout::session_text(1, SessionText::kOnClosePayload), 0},
      {layout::session(1) + layout::kSessionSizes, 5},
      {layout::session(1) + layout::kSessionSizes + 2, ~std::uint64_t{0}},
      {layout::session(1) + layout::kSessionState, 17},
  };
  ledger_->reject(-1, 1000, {});
  for (const auto& [word, value] : damages) {
    for (int i = 1; i <= 3; ++i) create(i);
    damage(word, value);
    reopen();
    EXPECT_EQ(verdict(1), SessionVerdict::kOpen);
    EXPECT_EQ(verdict(2), SessionVerdict::kUnknown) << "word " << word;
    EXPECT_EQ(verdict(3), SessionVerdict::kOpen);
    EXPECT_EQ(ledger_->snapshot().totals.rejected.requests, 1);
    for (int i = 1; i <= 3; ++i) ledger_->remove_session(id(i));
  }
  EXPECT_FALSE(std::filesystem::exists(path_ + ".old"));
}

TEST_F(LedgerSessionsTest, WhatLiesInAFreePlaceIsNobodys) {
  damage(layout::session_text(0, SessionText::kAuthData), ~std::uint64_t{0});
  reopen();
  EXPECT_EQ(ledger_->session_count(), 0u);
  EXPECT_EQ(create(1), SessionCreation::kCreated);
  EXPECT_EQ(ledger_->find_session(id(1), kNow).second.auth_data, R"({"a":1})");
}

}  // namespace
}  // namespace cppworker
