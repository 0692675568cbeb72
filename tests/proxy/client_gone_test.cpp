// A client that goes away is noticed in every phase of its request: the inference server stops computing for
// it, its place is free, and the books say cancelled.
#include <functional>
#include <memory>

#include "proxy/open_now.hpp"
#include "tests/proxy/noticed_soon.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

// The ways in which a client can go.
struct Leaving {
  const char* name;
  bool tls;
  void (*leave)(RawClient&);
};

// Else the test's name would hold its bytes, pointers among them.
void PrintTo(const Leaving& way, std::ostream* out) {
  *out << way.name;
}

class ClientGoneTest : public SignedProxyTest, public testing::WithParamInterface<Leaving> {
 protected:
  ClientGoneTest() {
    if (GetParam().tls) serve_tls();
  }
  void leave(RawClient& client) { GetParam().leave(client); }

  std::string generate_as(std::int64_t request_idx) {
    Route route = next_route();
    route.request_idx = request_idx;
    return generate(route);
  }
  void expect_cancelled(std::vector<std::int64_t> request_idxs) {
    LedgerSnapshot books = proxy().books();
    expect_books_sum_up(books);
    EXPECT_THAT(books.in_flight, IsEmpty());
    auto number = static_cast<std::int64_t>(request_idxs.size());
    EXPECT_EQ(books.totals.cancelled, (Amount{3000 * number, number}));
    // The autoscaler hears of a cancelled request as of a success (protocol section 4).
    EXPECT_EQ(proxy().ledger().finished(true, 100), request_idxs);
    EXPECT_THAT(proxy().ledger().finished(false, 100), IsEmpty());
  }
};
void reset(RawClient& client) {
  client.reset();
}
void close(RawClient& client) {
  client.close();
}
void say_so(RawClient& client) {
  client.send_tls_notice();
}
INSTANTIATE_TEST_SUITE_P(, ClientGoneTest,
                         testing::Values(Leaving{"ByReset", false, reset}, Leaving{"ByClose", false, close},
                                         Leaving{"ByResetUnderTls", true, reset},
                                         Leaving{"ByCloseUnderTls", true, close},
                                         Leaving{"ByTheNoticeOfTls", true, say_so}),
                         [](const auto& way) { return way.param.name; });

TEST_P(ClientGoneTest, WhileItWaitsForTheFirstByte) {
  Exchange call = begin(generate_as(1));
  leave(call.client);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  expect_cancelled({1});
}

TEST_P(ClientGoneTest, InsideAStream) {
  Exchange call = begin(generate_as(1));
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(call.client);
  read_chunk(call.client);
  leave(call.client);
  // Noticed without anything further being sent.
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  expect_cancelled({1});
}

TEST_P(ClientGoneTest, InsideABodyOfKnownLength) {
  Exchange call = begin(generate_as(1));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
  read_raw_head(call.client);
  leave(call.client);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  expect_cancelled({1});
}

TEST_P(ClientGoneTest, WhileItDoesNotReadAndTheProxyWaitsForIt) {
  Exchange call = begin(generate_as(1));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  send_until_stuck(call.server);
  leave(call.client);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  expect_cancelled({1});
}

TEST_P(ClientGoneTest, AfterItHasSentItsNextRequest) {
  Exchange call = begin(generate_as(1));
  call.client.send(generate_as(2));
  proxy().settle();
  leave(call.client);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  expect_cancelled({1});
  expect_server_not_called();
}

// More than the proxy takes in before its turn, so that the end behind it can't be read.
TEST_P(ClientGoneTest, AfterItHasSentMuchAhead) {
  if (GetParam().leave == say_so) GTEST_SKIP() << "the notice stands behind what isn't read";
  Exchange call = begin(generate_as(1));
  call.client.send(get_request("/ping", "X: " + std::string(100'000, 'x') + "\r\n"));
  proxy().settle();
  EXPECT_TRUE(call.server.is_silent());
  leave(call.client);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  expect_cancelled({1});
  expect_server_not_called();
}

TEST_P(ClientGoneTest, WhileItsRequestIsSentToAServerThatDoesNotRead) {
  RawClient client = connect();
  Route route = next_route();
  route.request_idx = 1;
  client.send(generate(route, "{\"work\": 3, \"image\": \"" + std::string(32 << 20, 'A') + "\"}"));
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  proxy().settle();
  leave(client);
  server.read_to_end();
  expect_cancelled({1});
}

TEST_P(ClientGoneTest, InTheQueue) {
  setup_.backend.max_concurrency = 1;
  Exchange busy = begin(generate());
  RawClient second = connect(), third = connect();
  std::size_t bytes = 0;
  for (auto [client, index] : {std::pair{&second, 2}, {&third, 3}}) {
    const std::string request = generate_as(index);
    bytes += request.size() - request.find("\r\n\r\n") - 4;
    client->send(request);
    proxy().settle();
  }
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 2u);
  const OpenNow now = open_now(proxy().core());
  EXPECT_EQ(now.connections, 3u);
  EXPECT_EQ(now.waiting_requests, 2u);
  EXPECT_EQ(now.waiting_bytes, bytes);
  leave(second);
  proxy().settle();
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 1u);
  // The one behind it is next, and the server never hears of the one that left.
  busy.server.answer(200, "done");
  busy.server.read_request();
  busy.server.answer(200, "third");
  EXPECT_EQ(third.read_response().body, "third");
  expect_server_not_called();
  LedgerSnapshot books = proxy().books();
  EXPECT_EQ(books.totals.cancelled.requests, 1);
  EXPECT_EQ(books.totals.served.requests, 2);
  EXPECT_THAT(proxy().ledger().finished(true, 100), UnorderedElementsAre(2, 3));
}

TEST_P(ClientGoneTest, AndItsPlaceIsTheNextOnes) {
  setup_.backend.max_concurrency = 1;
  Exchange first = begin(generate_as(1));
  RawClient second = connect();
  second.send(generate());
  proxy().settle();
  leave(first.client);
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  server.answer(200, "second");
  EXPECT_EQ(second.read_response().body, "second");
  EXPECT_NE(first.server.wait_for_end(), End::kOpen);
}

TEST_P(ClientGoneTest, BeforeItsBodyIsComplete) {
  RawClient client = connect();
  std::string request = generate();
  client.send(request.substr(0, request.size() - 5));
  proxy().settle();
  leave(client);
  expect_server_not_called();
  EXPECT_EQ(proxy().books().totals, Totals{});
  EXPECT_EQ(proxy().core().connections, 0);
}

TEST_P(ClientGoneTest, FromAnOpenEndpoint) {
  Exchange call = begin(post_request("/open", "{}"));
  leave(call.client);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  EXPECT_EQ(proxy().books().totals, Totals{});
}

TEST_P(ClientGoneTest, AfterItsAnswerWasComplete) {
  Exchange call = begin(generate_as(1));
  call.server.answer(200, "done");
  call.client.read_response();
  proxy().settle();
  leave(call.client);
  EXPECT_EQ(proxy().books().totals.served.requests, 1);
  // The server's connection goes on to serve others.
  RawClient other = connect();
  other.send(get_request("/health"));
  EXPECT_EQ(call.server.read_request().target(), "/health");
}

// How soon, in each phase.
class ClientGoneSoonTest : public ClientGoneTest {
 protected:
  void expect_noticed_soon(const std::function<InPhase()>& phase) {
    cppworker::expect_noticed_soon(proxy(), phase, GetParam().leave);
  }
  static InPhase with_server(Exchange call) {
    auto server = std::make_shared<UpstreamConnectionInTest>(std::move(call.server));
    return {std::make_unique<RawClient>(std::move(call.client)), [server] { server->read_to_end(); }};
  }
  InPhase without_server(RawClient client) {
    return {std::make_unique<RawClient>(std::move(client)), until_one_more_is_cancelled(proxy())};
  }
};
INSTANTIATE_TEST_SUITE_P(, ClientGoneSoonTest,
                         testing::Values(Leaving{"ByReset", false, reset}, Leaving{"ByClose", false, close},
                                         Leaving{"ByCloseUnderTls", true, close}),
                         [](const auto& way) { return way.param.name; });

TEST_P(ClientGoneSoonTest, Within50MillisecondsWhileItWaits) {
  expect_noticed_soon([&] { return with_server(begin(generate())); });
}

TEST_P(ClientGoneSoonTest, Within50MillisecondsInsideAStream) {
  expect_noticed_soon([&] {
    Exchange call = begin(generate());
    call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
    read_raw_head(call.client);
    read_chunk(call.client);
    return with_server(std::move(call));
  });
}

TEST_P(ClientGoneSoonTest, Within50MillisecondsWhileItDoesNotRead) {
  expect_noticed_soon([&] {
    Exchange call = begin(generate());
    call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
    send_until_stuck(call.server);
    return with_server(std::move(call));
  });
}

TEST_P(ClientGoneSoonTest, Within50MillisecondsWithMuchSentAhead) {
  expect_noticed_soon([&] {
    Exchange call = begin(generate());
    call.client.send(get_request("/ping", "X: " + std::string(100'000, 'x') + "\r\n"));
    return with_server(std::move(call));
  });
}

TEST_P(ClientGoneSoonTest, Within50MillisecondsWhileItsRequestIsSent) {
  expect_noticed_soon([&] {
    RawClient client = connect();
    client.send(generate("{\"work\": 3, \"image\": \"" + std::string(16 << 20, 'A') + "\"}"));
    UpstreamConnectionInTest server = server_.accept();
    RawMessage head = read_raw_head(server);
    return with_server({std::move(client), std::move(server), std::move(head)});
  });
}

TEST_P(ClientGoneSoonTest, Within50MillisecondsInTheQueue) {
  setup_.backend.max_concurrency = 1;
  Exchange busy = begin(generate());
  expect_noticed_soon([&] {
    RawClient client = connect();
    client.send(generate());
    return without_server(std::move(client));
  });
}

TEST_P(ClientGoneSoonTest, Within50MillisecondsWhileTheServerIsBeingRestarted) {
  setup_.relay_limits.hold = kHangGuard;
  expect_noticed_soon([&] {
    proxy().set_phase(ModelPhase::kReady);
    Exchange call = begin(generate());
    call.server.close();
    proxy().set_phase(ModelPhase::kUnhealthy);
    return without_server(std::move(call.client));
  });
}

}  // namespace
}  // namespace cppworker
