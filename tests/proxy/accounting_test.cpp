// What becomes of a request that was let in, as the books tell it: admission, outcomes, and the queue before
// a server that executes one request at a time.
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

class AccountingTest : public SignedProxyTest {
 protected:
  // A request that the books know by this index.
  std::string generate_as(std::int64_t request_idx, int work = 3) {
    Route route = next_route();
    route.request_idx = request_idx;
    route.cost = std::to_string(work);
    return generate(route, "{\"work\": " + std::to_string(work) + "}");
  }

  void expect_finished(std::vector<std::int64_t> succeeded, std::vector<std::int64_t> failed) {
    LedgerSnapshot books = proxy().books();
    expect_books_sum_up(books);
    EXPECT_THAT(books.in_flight, IsEmpty());
    EXPECT_EQ(proxy().ledger().finished(true, 100), succeeded);
    EXPECT_EQ(proxy().ledger().finished(false, 100), failed);
  }
  const EndpointFigures& generate_figures(const LedgerSnapshot& books) {
    for (const EndpointFigures& figures : books.endpoints)
      if (figures.name == "POST /generate") return figures;
    throw std::runtime_error("no figures of POST /generate");
  }
  static std::uint64_t entries(const DurationHistogram& histogram) {
    std::uint64_t sum = 0;
    for (std::uint64_t bucket : histogram.buckets) sum += bucket;
    return sum;
  }
};

TEST_F(AccountingTest, ARequestIsInTheBooksWhileItIsServed) {
  Exchange call = begin(generate_as(41));
  LedgerSnapshot books = proxy().books();
  ASSERT_EQ(books.in_flight.size(), 1u);
  EXPECT_EQ(books.in_flight[0].owner, RunningProxy::kOwner);
  EXPECT_EQ(books.in_flight[0].work_milli, 3000);
  EXPECT_EQ(books.in_flight[0].request_idx, 41);
  EXPECT_EQ(books.in_flight[0].reqnum, 1u);
  call.server.answer(200, "{}");
  call.client.read_response();
  books = proxy().books();
  EXPECT_EQ(books.totals.served, (Amount{3000, 1}));
  EXPECT_EQ(generate_figures(books).served, 1);
  EXPECT_EQ(entries(generate_figures(books).duration), 1u);
  EXPECT_EQ(entries(generate_figures(books).first_byte), 1u);
  expect_finished({41}, {});
}

// A client may take half a minute to close, and it is no request's answer that a drain would wait for.
TEST_F(AccountingTest, AnAnswerIsOverBeforeItsClientCloses) {
  const std::string closing = "Connection: close\r\n";
  struct Case {
    const char* what;
    std::string request;
    bool reaches_server, is_served;
    int status;
  };
  const std::string signed_one =
      post_request("/generate", wrapped_body(next_route(), R"({"work": 3})"), closing);
  const Case cases[] = {
      {"without a signature", get_request("/health", closing), true, true, 200},
      {"with one", signed_one, true, true, 200},
      {"no answer of the server's", post_request("/open", "{}", closing), true, false, 502},
      {"the worker's own route", get_request("/ping", closing), false, true, 200},
      {"refused", get_request("/nowhere", closing), false, false, 404},
  };
  for (const Case& c : cases) {
    SCOPED_TRACE(c.what);
    RawClient client = connect();
    client.send(c.request);
    if (c.reaches_server) {
      UpstreamConnectionInTest server = server_.accept();
      server.read_request();
      if (c.is_served) server.answer(200, "ok", closing);
    }
    EXPECT_EQ(client.read_response().status(), c.status);
    proxy().settle();
    EXPECT_EQ(proxy().core().connections, 1) << "the client hasn't closed yet";
    EXPECT_EQ(proxy().core().answering, 0);
    client.close();
    proxy().settle();
  }
}

// It is the client's own doing, and no failure that the worker should be blamed for.
TEST_F(AccountingTest, AClientThatDoesNotReadMakesACancelledRequest) {
  setup_.relay_limits.write = seconds(1000);
  setup_.relay_limits.between = seconds(100'000);
  Exchange call = begin(generate_as(1));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  send_until_stuck(call.server);
  proxy().pass_time(seconds(2000));
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  EXPECT_EQ(proxy().books().totals.cancelled, (Amount{3000, 1}));
  EXPECT_EQ(proxy().counted(Counter::kUpstreamFailures), 0u);
  expect_finished({1}, {});
}

// But a request that takes longer than any may is one, whoever is slow when its time is up.
TEST_F(AccountingTest, ARequestWhoseTimeIsUpIsErroredAlsoWhileItsClientDoesNotRead) {
  setup_.relay_limits.write = seconds(100'000);
  setup_.relay_limits.whole = seconds(1000);
  Exchange call = begin(generate_as(1));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  send_until_stuck(call.server);
  proxy().pass_time(seconds(2000));
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  expect_finished({}, {1});
}

TEST_F(AccountingTest, WhatTheBooksHaveNoRoomForIsRejectedAndKeepsNoPlace) {
  setup_.backend.max_concurrency = 1;
  setup_.settings.max_queue = 0;
  std::vector<Ticket> tickets;
  for (std::size_t i = 0; i < ledger_layout::kSlots; ++i)
    tickets.push_back(proxy().ledger().accept(RunningProxy::kOwner, {}).second);
  const std::string request = generate_as(41);
  RawClient client = connect();
  for (int i = 0; i < 2; ++i) {
    RawMessage refused = client.exchange(request);
    expect_error(refused, 429, "proxy: too many requests in flight");
    EXPECT_GT(std::stoi(refused.header("Retry-After")), 0);
    proxy().settle();
    EXPECT_EQ(proxy().core().endpoints.admissions().front().inside(), 0u);
  }
  LedgerSnapshot books = proxy().books();
  EXPECT_EQ(books.totals.rejected, (Amount{3000, 1})) << "the second was the same request";
  EXPECT_EQ(generate_figures(books).rejected, 1);
  EXPECT_EQ(proxy().counted(Counter::kRejectedAgain), 1u);

  // Its reqnum wasn't used up, either.
  for (const Ticket& ticket : tickets) proxy().ledger().finish(ticket, {});
  client.send(request);
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  server.answer(200, "served");
  EXPECT_EQ(client.read_response().body, "served");
  EXPECT_THAT(proxy().ledger().finished(false, 100), ElementsAre(41));
}

TEST_F(AccountingTest, AStreamIsInTheBooksUpToItsEnd) {
  Exchange call = begin(generate_as(1));
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(call.client);
  read_chunk(call.client);
  EXPECT_EQ(proxy().books().in_flight.size(), 1u);
  call.server.send(kLastChunk);
  read_chunk(call.client);
  expect_finished({1}, {});
}

// The supervisor's watch over a server that stalls looks at this once a second.
TEST_F(AccountingTest, TheBytesOfAnAnswerAreCountedAsTheyCome) {
  Exchange call = begin(generate_as(1));
  EXPECT_EQ(proxy().ledger().pulse().at_server, 1);
  EXPECT_EQ(proxy().ledger().pulse().upstream_bytes, 0u);
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("data: one\n\n"));
  read_raw_head(call.client);
  read_chunk(call.client);
  EXPECT_EQ(proxy().ledger().pulse().upstream_bytes, 11u);
  call.server.send(chunk(":\n\n"));
  read_chunk(call.client);
  EXPECT_EQ(proxy().ledger().pulse().upstream_bytes, 11u) << "a comment, which a front sends by itself";
  call.server.send(chunk("data: two\n\n"));
  read_chunk(call.client);
  EXPECT_EQ(proxy().ledger().pulse().upstream_bytes, 22u);
  EXPECT_EQ(proxy().ledger().pulse().at_server, 1);
  call.server.send(kLastChunk);
  read_chunk(call.client);
  expect_finished({1}, {});
  EXPECT_EQ(proxy().ledger().pulse().at_server, 0);
  EXPECT_EQ(proxy().ledger().pulse().served, 1u);
}

// Anybody may ask for them: a monitor's probes would hide that the engine behind the front is dead.
TEST_F(AccountingTest, TheBytesOfUnsignedEndpointsProveNothing) {
  Exchange call = begin("GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
  call.server.answer(200, "well");
  EXPECT_EQ(call.client.read_response().status(), 200);
  EXPECT_EQ(proxy().ledger().pulse().upstream_bytes, 0u);
}

TEST_F(AccountingTest, FailuresOfTheServersOwnAreCounted) {
  std::vector<std::pair<int, std::uint64_t>> expected = {{200, 0}, {400, 0}, {422, 0}, {424, 1},
                                                         {429, 1}, {500, 2}, {501, 2}, {503, 2}};
  for (auto [status, failures] : expected) {
    Exchange call = begin(generate_as(status));
    call.server.answer(status, "some body", "Connection: close\r\n");
    EXPECT_EQ(call.client.read_response().status(), status);
    proxy().settle();  // it is counted after the client has its answer
    EXPECT_EQ(proxy().ledger().pulse().upstream_failures, failures) << status;
  }
  EXPECT_EQ(proxy().ledger().pulse().upstream_bytes, 9u) << "of the good answer alone";
}

TEST_F(AccountingTest, AnErrorOfTheServersIsAnErroredRequest) {
  std::vector<std::int64_t> failed;
  for (int status : {400, 422, 500, 503}) {
    Exchange call = begin(generate_as(status));
    call.server.answer(status, "no", "Connection: close\r\n");
    EXPECT_EQ(call.client.read_response().status(), status);
    failed.push_back(status);
  }
  EXPECT_EQ(proxy().books().totals.errored, (Amount{12'000, 4}));
  expect_finished({}, failed);
}

// Inside an answer that looks like any other; a compressed one would hide it.
TEST_F(AccountingTest, AFailureThatASuccessfulAnswerTellsOfIsAnErroredRequest) {
  endpoint("POST", "/generate").failure_lines = {"data: {\"error\""};
  std::vector<std::int64_t> failed;
  for (int status : {200, 201, 206}) {
    std::string request = generate_as(status);
    request.insert(request.find("\r\n") + 2, "Accept-Encoding: gzip\r\nAccept: text/event-stream\r\n");
    Exchange call = begin(request);
    EXPECT_FALSE(call.request.has("Accept-Encoding"));
    EXPECT_EQ(call.request.header("Accept"), "text/event-stream");
    call.server.answer(status, "data: one\n\ndata: {\"error\": \"out of memory\"}\n\n",
                       "Connection: close\r\n");
    EXPECT_EQ(call.client.read_response().status(), status);
    failed.push_back(status);
  }
  expect_finished({}, failed);
}

TEST_F(AccountingTest, WhereNoFailureIsLookedForAnswersMayBeCompressed) {
  std::string request = generate_as(1);
  request.insert(request.find("\r\n") + 2, "Accept-Encoding: gzip\r\n");
  EXPECT_EQ(begin(request).request.header("Accept-Encoding"), "gzip");
}

TEST_F(AccountingTest, ARedirectionIsServed) {
  Exchange call = begin(generate_as(1));
  call.server.answer(302, "", "Location: /x\r\n");
  EXPECT_EQ(call.client.read_response().header("Location"), "/x");
  expect_finished({1}, {});
}

TEST_F(AccountingTest, AFailureBeforeTheAnswerIsAnErroredRequest) {
  Exchange closed = begin(generate_as(1));
  closed.server.close();
  EXPECT_EQ(closed.client.read_response().status(), 502);

  Exchange rubbish = begin(generate_as(2));
  rubbish.server.send("rubbish\r\n\r\n");
  EXPECT_EQ(rubbish.client.read_response().status(), 502);

  server_.stop_listening();
  EXPECT_EQ(connect().exchange(generate_as(3)).status(), 502);
  EXPECT_EQ(proxy().books().totals.errored.requests, 3);
  expect_finished({}, {1, 2, 3});
}

TEST_F(AccountingTest, AnAnswerThatBrokeOffIsAnErroredRequest) {
  Exchange call = begin(generate_as(1));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
  read_raw_head(call.client);
  call.server.close();
  call.client.read_to_end();
  expect_finished({}, {1});
}

TEST_F(AccountingTest, AServerThatIsTooSlowMakesAnErroredRequest) {
  setup_.relay_limits.first_byte = seconds(1000);
  Exchange call = begin(generate_as(1));
  proxy().pass_time(seconds(2000));
  EXPECT_EQ(call.client.read_response().status(), 504);
  expect_finished({}, {1});
}

TEST_F(AccountingTest, AReplayInFlightChangesNothing) {
  Route route = next_route();
  Exchange call = begin(generate(route));
  EXPECT_EQ(connect().exchange(generate(route)).status(), 401);
  EXPECT_EQ(proxy().books().totals.received.requests, 1);
  call.server.answer(200, "{}");
  EXPECT_EQ(call.client.read_response().status(), 200);
}

TEST_F(AccountingTest, AFormulaThatFailsCostsNothingAndTheRequestIsServed) {
  endpoint("POST", "/generate").workload = Workload::compile("payload.work + 1").value();
  Exchange call = begin(generate(R"({"work": {}})"));
  EXPECT_EQ(proxy().books().in_flight.at(0).work_milli, 0);
  call.server.answer(200, "{}");
  EXPECT_EQ(call.client.read_response().status(), 200);
}

TEST_F(AccountingTest, BytesAreCounted) {
  std::string request = generate();
  std::string body = request.substr(request.find("\r\n\r\n") + 4);
  Exchange call = begin(request);
  call.server.answer(200, "hello");
  std::string response = call.client.read_until("hello");
  EXPECT_EQ(proxy().counted(Counter::kBytesFromClients), body.size());
  EXPECT_EQ(proxy().counted(Counter::kBytesToClients), response.size());
  EXPECT_EQ(proxy().counted(Counter::kConnectionsAccepted), 1u);
}

// ---- one at a time

class QueueTest : public AccountingTest {
 protected:
  QueueTest() {
    setup_.backend.max_concurrency = 1;
    setup_.settings.max_queue = 2;
  }
  // A client whose request waits for its turn.
  RawClient queue_up(std::string_view request) {
    RawClient client = connect();
    client.send(request);
    proxy().settle();
    return client;
  }
  // The next request reaches the server on the connection that the one before has left idle.
  void expect_served_next(UpstreamConnectionInTest& server, RawClient& client, int work) {
    EXPECT_EQ(server.read_request().body, "{\"work\": " + std::to_string(work) + "}");
    server.answer(200, "done");
    EXPECT_EQ(client.read_response().body, "done");
  }
};

// What was let in is served, though the worker takes nothing more; it is also held over restarts in
// production.
TEST_F(QueueTest, RequestsThatWaitAreServedWhileTheWorkerDrains) {
  setup_.relay_limits.hold = std::chrono::seconds(60);
  Exchange first = begin(generate_as(1, 1));
  RawClient second = queue_up(generate_as(2, 2));
  proxy().set_phase(ModelPhase::kDraining);
  first.server.answer(200, "done");
  EXPECT_EQ(first.client.read_response().body, "done");
  expect_served_next(first.server, second, 2);
  EXPECT_EQ(proxy().books().totals.served.requests, 2u);
}

TEST_F(QueueTest, RequestsAreServedOneAfterTheOtherInTheirOrder) {
  Exchange first = begin(generate_as(1, 1));
  RawClient second = queue_up(generate_as(2, 2)), third = queue_up(generate_as(3, 3));
  expect_server_not_called();
  EXPECT_TRUE(first.server.is_silent());
  EXPECT_EQ(proxy().books().in_flight.size(), 3u);
  EXPECT_EQ(proxy().ledger().pulse().at_server, 1) << "the supervisor's watch looks at the server";
  first.server.answer(200, "done");
  expect_served_next(first.server, second, 2);
  expect_served_next(first.server, third, 3);
  expect_finished({1, 2, 3}, {});
}

TEST_F(QueueTest, AFailureMakesRoomForTheNextOne) {
  Exchange first = begin(generate_as(1, 1));
  RawClient second = queue_up(generate_as(2, 2));
  first.server.close();
  EXPECT_EQ(first.client.read_response().status(), 502);
  UpstreamConnectionInTest server = server_.accept();
  expect_served_next(server, second, 2);
}

// In the Python worker one call without an end was the end of the queue.
TEST_F(QueueTest, ASilentServerHoldsTheNextOneUpForItsTimeOnly) {
  setup_.relay_limits.first_byte = seconds(1000);
  endpoint("POST", "/generate").max_queue_time = seconds(100'000);
  Exchange first = begin(generate_as(1, 1));
  RawClient second = queue_up(generate_as(2, 2));
  proxy().pass_time(seconds(2000));
  EXPECT_EQ(first.client.read_response().status(), 504);
  UpstreamConnectionInTest server = server_.accept();
  expect_served_next(server, second, 2);
  expect_finished({2}, {1});
}

TEST_F(QueueTest, ARequestThatFindsTheQueueFullIsRejected) {
  Exchange first = begin(generate_as(1));
  RawClient second = queue_up(generate_as(2)), third = queue_up(generate_as(3));
  RawClient fourth = connect();
  RawMessage response = fourth.exchange(generate_as(4, 5));
  expect_error(response, 429, "proxy: the queue is full");
  EXPECT_NE(response.header("Retry-After"), "");
  EXPECT_EQ(response.header("Connection"), "keep-alive");
  LedgerSnapshot books = proxy().books();
  EXPECT_EQ(books.totals.rejected, (Amount{5000, 1}));
  EXPECT_EQ(generate_figures(books).rejected, 1);
  EXPECT_EQ(books.in_flight.size(), 3u);
  EXPECT_THAT(proxy().ledger().finished(false, 100), ElementsAre(4));
}

TEST_F(QueueTest, AReplayDoesNotTakeAPlaceInTheQueue) {
  Route route = next_route();
  Exchange first = begin(generate(route));
  EXPECT_EQ(connect().exchange(generate(route)).status(), 401);
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 0u);
  first.server.answer(200, "done");
  first.client.read_response();
  proxy().settle();
  EXPECT_EQ(proxy().core().endpoints.admissions().front().inside(), 0u);
}

TEST_F(QueueTest, WhoWaitsTooLongForItsTurnIsTold) {
  endpoint("POST", "/generate").max_queue_time = seconds(1000);
  setup_.relay_limits.first_byte = seconds(1'000'000);
  Admission& admission = proxy().core().endpoints.admissions().front();
  admission.declare_rate(1000);  // one work unit a second
  Exchange first = begin(generate_as(1, 500));
  RawClient second = queue_up(generate_as(2));
  proxy().pass_time(seconds(500));
  EXPECT_TRUE(second.is_silent());
  proxy().pass_time(seconds(2000));
  RawMessage response = second.read_response();
  expect_error(response, 429, "proxy: waited too long for its turn");
  EXPECT_NEAR(std::stoi(response.header("Retry-After")), 500, 20) << "the time of the one that is ahead";
  EXPECT_TRUE(first.client.is_silent());
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 0u);
  first.server.answer(200, "done");
  EXPECT_EQ(first.client.read_response().body, "done");
  expect_finished({1}, {2});
}

// Else one stranger with a max_new_tokens of a billion has everybody told to come back in ten minutes, and is
// then taken for the proof that the server does a billion a second.
TEST_F(QueueTest, ARequestWaitsForNoMoreThanTenTimesTheSignedCostOfOneBeforeIt) {
  endpoint("POST", "/generate").max_queue_time = seconds(1000);
  Admission& admission = proxy().core().endpoints.admissions().front();
  admission.declare_rate(1000);  // one work unit a second
  Route boasting = next_route();
  boasting.cost = "50";
  Exchange first = begin(generate(boasting, R"({"work": 1000000000})"));
  EXPECT_NEAR(static_cast<double>(admission.expected_wait().count()), 500, 20);
  RawClient second = queue_up(generate_as(2, 1));
  EXPECT_TRUE(second.is_silent()) << "it waits for its turn";
  EXPECT_EQ(proxy().books().in_flight_amount.work_milli, kMostWorkMilli + 1000) << "in the books it is whole";
  EXPECT_EQ(proxy().counted(Counter::kWorkOverCost), 1u);
  first.server.answer(200, "done");
  first.client.read_response();
  expect_served_next(first.server, second, 1);
  EXPECT_EQ(proxy().books().totals.served.work_milli, kMostWorkMilli + 1000);
}

TEST_F(AccountingTest, WorkIsComparedWithTheCostThatWasSignedForIt) {
  Route full = next_route(), url_only = next_route();
  full.cost = "\"17.5\"";
  url_only.covers = SignedText::kUrlOnly;  // its cost is anybody's
  for (const Route& route : {full, url_only}) {
    Exchange call = begin(generate(route));
    call.server.answer(200, "{}", "Connection: close\r\n");
    call.client.read_response();
  }
  EXPECT_EQ(proxy().counted(Counter::kSignedCost), 17'500u);
  EXPECT_EQ(proxy().counted(Counter::kWorkOfSignedCost), 3000u);
  EXPECT_EQ(proxy().counted(Counter::kWorkOverCost), 0u);
}

TEST_F(QueueTest, TheQueueSpansThreads) {
  setup_.settings.threads = 3;
  setup_.settings.max_queue = 100;
  Exchange first = begin(generate_as(0, 1));
  std::vector<RawClient> waiting;
  for (int i = 1; i <= 12; ++i) waiting.push_back(queue_up(generate_as(i, i)));
  first.server.answer(200, "done", "Connection: close\r\n");
  for (int i = 1; i <= 12; ++i) {
    UpstreamConnectionInTest server = server_.accept();
    EXPECT_EQ(server.read_request().body, "{\"work\": " + std::to_string(i) + "}");
    server.answer(200, "done", "Connection: close\r\n");
    EXPECT_EQ(waiting[i - 1].read_response().body, "done");
  }
  EXPECT_EQ(proxy().books().totals.served.requests, 13);
  EXPECT_EQ(proxy().core().endpoints.admissions().front().inside(), 0u);
}

// The Python worker counted requests by the client's reqnum: two of one number were one.
TEST_F(AccountingTest, RequestsOfOneReqnumAreAsManyAsTheyAre) {
  Route route = next_route();
  route.covers = SignedText::kUrlOnly;
  Exchange first = begin(generate(route)), second = begin(generate(route));
  EXPECT_EQ(proxy().books().in_flight.size(), 2u);
  EXPECT_EQ(proxy().books().distinct_reqnums, 1u);
  for (Exchange* call : {&first, &second}) {
    call->server.answer(200, "{}");
    call->client.read_response();
  }
  EXPECT_EQ(proxy().books().totals.served.requests, 2);
}

}  // namespace
}  // namespace cppworker
