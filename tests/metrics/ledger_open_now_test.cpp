#include "metrics/ledger_open_now.hpp"

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

using LedgerOpenNowTest = LedgerTest;

constexpr OpenNow kSome{
    .connections = 3, .waiting_requests = 2, .waiting_bytes = 200, .buffered_bytes = 1000};

TEST_F(LedgerOpenNowTest, WhatAProxySaidLastIsTrue) {
  EXPECT_EQ(ledger_->snapshot().open_now, OpenNow{});
  ledger_->say_open(kOwner, {.connections = 9});
  ledger_->say_open(kOwner, kSome);
  EXPECT_EQ(ledger_->snapshot().open_now, kSome);
}

TEST_F(LedgerOpenNowTest, WhatADeadProxyHadOpenIsGoneWithIt) {
  ledger_->say_open(kOwner, kSome);
  ledger_->say_open(kOwner + 1, {.connections = 5});
  ledger_->settle(kOwner);
  EXPECT_EQ(ledger_->snapshot().open_now, OpenNow{.connections = 5});
  ledger_->say_open(kOwner + 2, kSome);
  ledger_->settle_all_except(kOwner + 2);
  EXPECT_EQ(ledger_->snapshot().open_now, kSome);
}

TEST_F(LedgerOpenNowTest, PlacesAreFreeAgain) {
  for (std::uint64_t owner = 1; owner <= 100; ++owner) {
    ledger_->say_open(owner, {.connections = owner});
    EXPECT_EQ(ledger_->snapshot().open_now.connections, owner);
    ledger_->settle(owner);
  }
}

TEST_F(LedgerOpenNowTest, OneProxyTooManySaysNothing) {
  for (std::uint64_t owner = 1; owner <= ledger_layout::kProxies + 1; ++owner)
    ledger_->say_open(owner, {.connections = 1});
  EXPECT_EQ(ledger_->snapshot().open_now.connections, ledger_layout::kProxies);
  EXPECT_EQ(ledger_->snapshot().counters, LedgerSnapshot{}.counters) << "what lies before it";
}

}  // namespace
}  // namespace cppworker
