#include "metrics/ledger.hpp"

#include <gmock/gmock.h>

#include <set>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

TEST_F(LedgerTest, NewBooksAreEmpty) {
  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals, Totals());
  EXPECT_THAT(books.in_flight, IsEmpty());
  EXPECT_THAT(books.endpoints, IsEmpty());
  EXPECT_FALSE(books.outdated);
}

TEST_F(LedgerTest, AcceptedRequestIsInFlightWithAllThatIsKnownOfIt) {
  Acceptance wanted = request(2500, -42);
  wanted.endpoint = ledger_->endpoint("POST /generate");
  wanted.reqnum = 99;
  accept(wanted);

  LedgerSnapshot books = ledger_->snapshot();
  ASSERT_EQ(books.in_flight.size(), 1u);
  EXPECT_EQ(books.in_flight[0].owner, kOwner);
  EXPECT_EQ(books.in_flight[0].work_milli, 2500);
  EXPECT_EQ(books.in_flight[0].request_idx, -42);
  EXPECT_EQ(books.in_flight[0].reqnum, 99u);
  EXPECT_EQ(books.in_flight[0].endpoint, 0);
  EXPECT_GT(books.in_flight[0].started_unix_ms, 1'600'000'000'000);
  EXPECT_EQ(books.in_flight_amount, (Amount{2500, 1}));
  EXPECT_EQ(books.totals.received, (Amount{2500, 1}));
  expect_books_sum_up(books);
}

TEST_F(LedgerTest, EachOutcomeGoesToItsOwnTotalAndQueue) {
  ledger_->finish(accept(request(1000, 1)), {Outcome::kServed, 1, {}});
  ledger_->finish(accept(request(2000, 2)), {Outcome::kErrored, 1, {}});
  ledger_->finish(accept(request(4000, 3)), {Outcome::kCancelled, 1, {}});
  ledger_->reject(-1, 8000, 4);
  ledger_->reject(-1, 1, std::nullopt);

  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals.received, (Amount{15001, 5}));
  EXPECT_EQ(books.totals.served, (Amount{1000, 1}));
  EXPECT_EQ(books.totals.errored, (Amount{2000, 1}));
  EXPECT_EQ(books.totals.cancelled, (Amount{4000, 1}));
  EXPECT_EQ(books.totals.rejected, (Amount{8001, 2}));
  EXPECT_THAT(ledger_->finished(true, 10), ElementsAre(1, 3));
  EXPECT_THAT(ledger_->finished(false, 10), ElementsAre(2, 4));
  expect_books_sum_up(books);
}

TEST_F(LedgerTest, SecondFinishOfATicketDoesNothingEvenWhenItsSlotIsTakenAgain) {
  Ticket first = accept(request(1000, 1));
  ledger_->finish(first, {Outcome::kServed, 1, {}});
  ledger_->finish(first, {Outcome::kErrored, 1, {}});
  Ticket second = accept(request(2000, 2));
  ASSERT_EQ(second.slot, first.slot);
  ledger_->finish(first, {Outcome::kErrored, 1, {}});

  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals.served, (Amount{1000, 1}));
  EXPECT_EQ(books.totals.errored, Amount());
  EXPECT_EQ(books.in_flight_amount, (Amount{2000, 1}));
}

TEST_F(LedgerTest, SettlingEndsTheRequestsOfThatProxyAloneAsErrored) {
  Ticket of_the_dead = accept(request(1000, 1));
  accept(request(2000, 2));
  ASSERT_EQ(ledger_->accept(kOwner + 1, request(4000, 3)).first, Verdict::kAccepted);

  EXPECT_EQ(ledger_->settle(kOwner), 2u);
  EXPECT_EQ(ledger_->settle(kOwner), 0u);
  ledger_->finish(of_the_dead, {Outcome::kServed, 1, {}});

  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals.errored, (Amount{3000, 2}));
  EXPECT_EQ(books.totals.served, Amount());
  ASSERT_EQ(books.in_flight.size(), 1u);
  EXPECT_EQ(books.in_flight[0].owner, kOwner + 1);
  EXPECT_THAT(ledger_->finished(false, 10), ElementsAre(1, 2));
  expect_books_sum_up(books);
}

TEST_F(LedgerTest, SettlingAllExceptOneLeavesThatOne) {
  accept(request(1000));
  ASSERT_EQ(ledger_->accept(kOwner + 1, request(2000)).first, Verdict::kAccepted);
  EXPECT_EQ(ledger_->settle_all_except(kOwner + 1), 1u);
  EXPECT_EQ(ledger_->snapshot().in_flight_amount, (Amount{2000, 1}));
  EXPECT_EQ(ledger_->settle_all_except(0), 1u);
}

TEST_F(LedgerTest, SignedReqnumIsAcceptedOnceEvenAfterItsRequestEnded) {
  ledger_->finish(accept(signed_request(50)), {});
  EXPECT_EQ(ledger_->peek(signed_request(50)), Verdict::kReplayed);
  EXPECT_EQ(ledger_->accept(kOwner, signed_request(50)).first, Verdict::kReplayed);
  accept(signed_request(200));
  EXPECT_EQ(ledger_->accept(kOwner, signed_request(99)).first, Verdict::kStale);
  EXPECT_EQ(ledger_->peek(signed_request(100)), Verdict::kAccepted);
  accept(signed_request(100));
  EXPECT_EQ(ledger_->snapshot().totals.received.requests, 3);
}

TEST_F(LedgerTest, ReqnumThatNoSignatureCoversNeitherIsRefusedNorMovesTheWindow) {
  Acceptance loose = request(1000);
  loose.reqnum = ~std::uint64_t{0};
  accept(loose);
  accept(loose);
  accept(signed_request(1));
}

TEST_F(LedgerTest, SignedRequestWithoutAReqnumIsRefused) {
  Acceptance odd = request(1000);
  odd.once = true;
  EXPECT_EQ(ledger_->accept(kOwner, odd).first, Verdict::kReplayed);
}

TEST_F(LedgerTest, DistinctReqnumsAreCountedOnceEach) {
  auto come = [&](std::uint64_t reqnum) {
    Acceptance loose = request(1);
    loose.reqnum = reqnum;
    ledger_->finish(accept(loose), {});
  };
  for (std::uint64_t reqnum : {5, 5, 6, 3, 6, 3, 0}) come(reqnum);
  EXPECT_EQ(ledger_->snapshot().distinct_reqnums, 4u);
  come(4000);  // clears what lies between
  come(5);
  come(200);
  come(200);
  EXPECT_EQ(ledger_->snapshot().distinct_reqnums, 6u);
  come(1'000'000);
  come(1'000'000);
  come(1'000'000 - 4095);
  come(1'000'000 - 4095);
  EXPECT_EQ(ledger_->snapshot().distinct_reqnums, 8u);
  come(1'000'000 - 4096);  // too old to be known
  EXPECT_EQ(ledger_->snapshot().distinct_reqnums, 9u);
}

// Where the signature doesn't cover it, anybody may name it.
TEST_F(LedgerTest, OneHugeReqnumDoesNotMakeOthersCountAsOftenAsTheyCome) {
  auto come = [&](std::uint64_t reqnum) {
    Acceptance loose = request(1);
    loose.reqnum = reqnum;
    ledger_->finish(accept(loose), {});
  };
  for (std::uint64_t stranger : {~std::uint64_t{0}, ~std::uint64_t{0} - 1'000'000}) {
    const std::uint64_t before = ledger_->snapshot().distinct_reqnums;
    come(stranger);
    for (int i = 0; i < 3; ++i)
      for (std::uint64_t reqnum : {1000, 1002, 1001}) come(reqnum);
    EXPECT_EQ(ledger_->snapshot().distinct_reqnums, before + 1 + 3);
  }
}

TEST_F(LedgerTest, DistinctReqnumsAgreeWithASetWhileTheyMoveOn) {
  std::set<std::uint64_t> seen;
  std::uint64_t state = 1;
  for (int i = 0; i < 3000; ++i) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    std::uint64_t reqnum = 5000 + static_cast<std::uint64_t>(i) * 7 + (state >> 60) * 50;
    Acceptance loose = request(1);
    loose.reqnum = reqnum;
    ledger_->finish(accept(loose), {});
    seen.insert(reqnum);
  }
  EXPECT_EQ(ledger_->snapshot().distinct_reqnums, seen.size());
}

TEST_F(LedgerTest, FullTableRefusesWithoutUsingUpTheReqnum) {
  std::vector<Ticket> tickets;
  for (std::size_t i = 0; i < ledger_layout::kSlots; ++i) tickets.push_back(accept(request(1)));
  EXPECT_EQ(ledger_->accept(kOwner, signed_request(1)).first, Verdict::kTableFull);
  ledger_->finish(tickets[1234], {});
  accept(signed_request(1));
  expect_books_sum_up(ledger_->snapshot());
}

TEST_F(LedgerTest, FinishedQueueKeepsItsOrderAcrossItsEndAndDropsTheNewestWhenFull) {
  constexpr std::int64_t kRoom = ledger_layout::kRingEntries;
  auto fail_one = [&](std::int64_t idx) {
    ledger_->finish(accept(request(0, idx)), {Outcome::kErrored, 0, {}});
  };
  for (std::int64_t i = 0; i < 10; ++i) fail_one(i);
  ledger_->forget_finished(false, 10);
  for (std::int64_t i = 0; i < kRoom + 3; ++i) fail_one(100 + i);

  std::vector<std::int64_t> waiting = ledger_->finished(false, 1'000'000);
  ASSERT_EQ(waiting.size(), static_cast<std::size_t>(kRoom));
  EXPECT_EQ(waiting.front(), 100);
  EXPECT_EQ(waiting.back(), 100 + kRoom - 1);
  EXPECT_EQ(ledger_->snapshot().failed.dropped, 3u);
  EXPECT_EQ(ledger_->snapshot().failed.waiting, static_cast<std::uint64_t>(kRoom));

  ledger_->forget_finished(false, 1'000'000);
  EXPECT_THAT(ledger_->finished(false, 10), IsEmpty());
  fail_one(5);
  EXPECT_THAT(ledger_->finished(false, 10), ElementsAre(5));
}

// A crowd that finds the worker full tells the autoscaler nothing that it doesn't know already.
TEST_F(LedgerTest, RejectedRequestsLeaveRoomInTheQueueForThoseThatFailed) {
  constexpr std::int64_t kRejected = ledger_layout::kRingForRejected;
  for (std::int64_t i = 0; i < kRejected + 2; ++i) ledger_->reject(-1, 0, i);
  EXPECT_EQ(ledger_->snapshot().failed.dropped, 2u);
  ledger_->finish(accept(request(0, 77'777)), {Outcome::kErrored, 0, {}});
  std::vector<std::int64_t> waiting = ledger_->finished(false, 1'000'000);
  ASSERT_EQ(waiting.size(), static_cast<std::size_t>(kRejected) + 1);
  EXPECT_EQ(waiting.back(), 77'777);
}

TEST_F(LedgerTest, SameIdxInTheQueueTwiceIsForgottenOneAtATime) {
  ledger_->reject(-1, 0, 5);
  ledger_->reject(-1, 0, 5);
  ledger_->forget_finished(false, 1);
  EXPECT_THAT(ledger_->finished(false, 10), ElementsAre(5));
}

TEST_F(LedgerTest, EndpointKeepsItsSlotByName) {
  int generate = ledger_->endpoint("POST /generate");
  int health = ledger_->endpoint("GET /health");
  EXPECT_NE(generate, health);
  EXPECT_EQ(ledger_->endpoint("POST /generate"), generate);
  ledger_.reset();
  ledger_ = Ledger::create(path_, "container 1").value();
  EXPECT_EQ(ledger_->endpoint("GET /health"), health);
  EXPECT_EQ(ledger_->snapshot().endpoints.at(1).name, "GET /health");
}

TEST_F(LedgerTest, EndpointsBeyondTheLastSlotAreRefusedAndStillCountInTheTotals) {
  for (int i = 0; i < 64; ++i) ASSERT_EQ(ledger_->endpoint("POST /" + std::to_string(i)), i);
  EXPECT_EQ(ledger_->endpoint("POST /one-more"), -1);
  EXPECT_EQ(ledger_->endpoint(""), -1);
  Acceptance wanted = request(1000);
  wanted.endpoint = -1;
  ledger_->finish(accept(wanted), {});
  EXPECT_EQ(ledger_->snapshot().totals.served.requests, 1);
}

TEST_F(LedgerTest, LongEndpointNameIsCutAndFoundAgain) {
  std::string name = "POST /" + std::string(300, 'x');
  int index = ledger_->endpoint(name);
  EXPECT_EQ(ledger_->endpoint(name), index);
  EXPECT_EQ(ledger_->snapshot().endpoints.at(0).name, name.substr(0, 119));
}

TEST_F(LedgerTest, EndpointFiguresFollowTheOutcomes) {
  Acceptance wanted = request(3000);
  wanted.endpoint = ledger_->endpoint("POST /generate");
  ledger_->finish(accept(wanted), {Outcome::kServed, 0.005, 0.0049});
  ledger_->finish(accept(wanted), {Outcome::kServed, 0.0051, {}});
  ledger_->finish(accept(wanted), {Outcome::kErrored, 601, {}});
  ledger_->finish(accept(wanted), {Outcome::kCancelled, -1, 0.2});
  ledger_->reject(wanted.endpoint, 1000, {});
  accept(wanted);
  ledger_->settle(kOwner);

  EndpointFigures figures = ledger_->snapshot().endpoints.at(0);
  EXPECT_EQ(figures.served, 2);
  EXPECT_EQ(figures.errored, 2);
  EXPECT_EQ(figures.cancelled, 1);
  EXPECT_EQ(figures.rejected, 1);
  EXPECT_EQ(figures.work_served_milli, 6000);
  EXPECT_EQ(figures.duration.buckets.front(), 2u) << "an upper bound belongs to its bucket";
  EXPECT_EQ(figures.duration.buckets[1], 1u);
  EXPECT_EQ(figures.duration.buckets.back(), 1u);
  EXPECT_NEAR(figures.duration.sum_seconds, 601.0101, 1e-6);
  EXPECT_EQ(figures.first_byte.buckets.front(), 1u);
  EXPECT_NEAR(figures.first_byte.sum_seconds, 0.2049, 1e-6);
}

TEST_F(LedgerTest, ImpossibleWorkIsBoundedTheSameWayEverywhere) {
  Ticket negative = accept(request(-5));
  Ticket huge = accept(request(std::numeric_limits<std::int64_t>::max()));
  EXPECT_EQ(ledger_->snapshot().in_flight_amount.work_milli, kMostWorkMilli);
  ledger_->finish(negative, {});
  ledger_->finish(huge, {});
  expect_books_sum_up(ledger_->snapshot());
}

TEST_F(LedgerTest, CountersAddUpWithoutTheBooks) {
  ledger_->count(Counter::kAuthReplayed);
  ledger_->count(Counter::kBytesToClients, 1000);
  ledger_->count(Counter::kBytesToClients, 24);
  ledger_->count(bad_request_counter(413));
  ledger_->count(bad_request_counter(418));
  LedgerSnapshot books = ledger_->snapshot();
  auto value = [&](Counter counter) { return books.counters[static_cast<std::size_t>(counter)]; };
  EXPECT_EQ(value(Counter::kAuthReplayed), 1u);
  EXPECT_EQ(value(Counter::kBytesToClients), 1024u);
  EXPECT_EQ(value(Counter::kBadRequest413), 1u);
  EXPECT_EQ(value(Counter::kBadRequestOther), 1u);
  EXPECT_EQ(value(Counter::kAuthStale), 0u);
  EXPECT_EQ(books.totals, Totals());
}

TEST_F(LedgerTest, LateAcknowledgementDoesNotMoveTheBaseBack) {
  ledger_->reject(-1, 1000, {});
  Totals early = ledger_->snapshot().totals;
  ledger_->reject(-1, 2000, {});
  Totals late = ledger_->snapshot().totals;
  ledger_->acknowledge(late);
  ledger_->acknowledge(early);
  Acknowledged base = ledger_->snapshot().acknowledged;
  EXPECT_EQ(base.received_milli, 3000);
  EXPECT_EQ(base.rejected_milli, 3000);
  EXPECT_EQ(base.reports, 2u);
}

}  // namespace
}  // namespace cppworker
