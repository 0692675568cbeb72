#include "proxy/books_entry.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

using ::testing::ElementsAre;

class BooksEntryTest : public LedgerTest {
 protected:
  BooksEntry enter(std::int64_t request_idx) {
    return BooksEntry(*ledger_, accept(request(1000, request_idx)));
  }
};

TEST_F(BooksEntryTest, WhatNobodyFinishedIsErrored) {
  { BooksEntry entry = enter(41); }
  LedgerSnapshot books = ledger_->snapshot();
  expect_books_sum_up(books);
  EXPECT_EQ(books.totals.errored.requests, 1);
  EXPECT_THAT(ledger_->finished(false, 10), ElementsAre(41));
}

TEST_F(BooksEntryTest, IsFinishedOnce) {
  {
    BooksEntry entry = enter(1);
    BooksEntry moved = std::move(entry);
    entry.finish(Outcome::kErrored);
    moved.finish(Outcome::kServed, 0.5);
    moved.finish(Outcome::kCancelled);
  }
  LedgerSnapshot books = ledger_->snapshot();
  expect_books_sum_up(books);
  EXPECT_EQ(books.totals.served.requests, 1);
  EXPECT_THAT(ledger_->finished(true, 10), ElementsAre(1));
}

TEST_F(BooksEntryTest, SaysWhetherTheServerHasTheRequest) {
  BooksEntry first = enter(1), second = enter(2), waiting = enter(3);
  EXPECT_EQ(ledger_->pulse().at_server, 0);
  first.note_at_server(true);
  second.note_at_server(true);
  EXPECT_EQ(ledger_->pulse().at_server, 2);
  first.note_at_server(false);
  EXPECT_EQ(ledger_->pulse().at_server, 1);
  second.finish(Outcome::kServed);
  EXPECT_EQ(ledger_->pulse().at_server, 0);
  second = enter(4);
  EXPECT_EQ(ledger_->pulse().at_server, 0) << "the next one in its slot isn't there yet";
  second.note_at_server(true);
  second.note_at_server(true);
  EXPECT_EQ(ledger_->pulse().at_server, 1) << "said twice, counted once";
  ledger_->settle(kOwner);
  EXPECT_EQ(ledger_->pulse().at_server, 0);
}

TEST_F(BooksEntryTest, TheNextOneEndsTheOneBefore) {
  BooksEntry entry = enter(1);
  entry = enter(2);
  EXPECT_THAT(ledger_->finished(false, 10), ElementsAre(1));
  EXPECT_EQ(ledger_->snapshot().in_flight.size(), 1u);
}

}  // namespace
}  // namespace cppworker
