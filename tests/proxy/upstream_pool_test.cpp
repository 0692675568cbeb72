#include "proxy/upstream_pool.hpp"

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

// ---- the pool alone

class UpstreamPoolTest : public testing::Test {
 protected:
  std::unique_ptr<UpstreamConnection> connected() {
    auto connection = pool_.make(io_.get_executor());
    connection->socket.connect(pool_.server());
    return connection;
  }

  asio::io_context io_{1};
  ScriptedServer server_;
  UpstreamPool pool_{{asio::ip::address_v4::loopback(), server_.port()}};
};

TEST_F(UpstreamPoolTest, HandsOutTheYoungestFirst) {
  EXPECT_EQ(pool_.take_idle(), nullptr);
  auto first = connected(), second = connected();
  UpstreamConnection *older = first.get(), *younger = second.get();
  EXPECT_FALSE(first->reused);
  pool_.give_back(std::move(first));
  pool_.give_back(std::move(second));
  auto taken = pool_.take_idle();
  EXPECT_EQ(taken.get(), younger);
  EXPECT_TRUE(taken->reused);
  EXPECT_EQ(pool_.take_idle().get(), older);
  EXPECT_EQ(pool_.take_idle(), nullptr);
}

TEST_F(UpstreamPoolTest, KeepsNoMoreThanItsBound) {
  std::vector<std::unique_ptr<UpstreamConnection>> all;
  for (std::size_t i = 0; i < UpstreamPool::kMostIdle + 3; ++i) all.push_back(connected());
  for (auto& connection : all) pool_.give_back(std::move(connection));
  std::size_t kept = 0;
  for (auto connection = pool_.take_idle(); connection; connection = pool_.take_idle()) ++kept;
  EXPECT_EQ(kept, UpstreamPool::kMostIdle);
}

TEST_F(UpstreamPoolTest, PassesOverWhatIsNotQuiet) {
  std::vector<UpstreamConnectionInTest> servers;
  for (int i = 0; i < 4; ++i) {
    auto connection = connected();
    servers.push_back(server_.accept());
    pool_.give_back(std::move(connection));
  }
  servers[1].close();
  servers[2].reset();
  servers[3].send("HTTP/1.1 408 Request Timeout\r\n\r\n");
  auto quiet = pool_.take_idle();
  ASSERT_NE(quiet, nullptr);
  EXPECT_EQ(pool_.take_idle(), nullptr);
  // It is the first server's.
  asio::write(quiet->socket, asio::buffer("x", 1));
  EXPECT_EQ(servers[0].read_exactly(1), "x");
}

TEST_F(UpstreamPoolTest, TakesNothingBackThatHoldsBytes) {
  auto connection = connected();
  connection->buffer.commit(asio::buffer_copy(connection->buffer.prepare(1), asio::buffer("x", 1)));
  pool_.give_back(std::move(connection));
  EXPECT_EQ(pool_.take_idle(), nullptr);
}

TEST_F(UpstreamPoolTest, ClearingCloses) {
  auto connection = connected();
  UpstreamConnectionInTest server = server_.accept();
  pool_.give_back(std::move(connection));
  pool_.clear();
  EXPECT_EQ(server.wait_for_end(), RawSocket::End::kEof);
  EXPECT_EQ(pool_.take_idle(), nullptr);
}

// After a burst nobody asks for them, and Python servers keep a thread or a task for each.
TEST_F(UpstreamPoolTest, ClosesWhatWasIdleForTooLongThoughNobodyAsksForIt) {
  auto connection = connected();
  UpstreamConnectionInTest server = server_.accept();
  const auto before = coarse_now();
  pool_.give_back(std::move(connection));
  const auto after = std::chrono::steady_clock::now();
  pool_.drop_stale(before + UpstreamPool::kLongestIdle);
  EXPECT_TRUE(server.is_silent());
  pool_.drop_stale(after + UpstreamPool::kLongestIdle + std::chrono::milliseconds(1));
  EXPECT_EQ(server.wait_for_end(), RawSocket::End::kEof);
  EXPECT_EQ(pool_.take_idle(), nullptr);
}

// ---- the pool in the proxy

class PooledRelayTest : public ProxyTest {
 protected:
  // However slow the test is, an end comes at once.
  PooledRelayTest() { setup_.relay_limits.died_idle = std::chrono::hours(1); }

  // A connection that has served one request and is idle now.
  Exchange idle_connection() {
    Exchange call = begin(get_request("/health"));
    answer(call, "first");
    return call;
  }
  void answer(Exchange& call, std::string_view body, std::string_view more = {}) {
    call.server.answer(200, body, more);
    EXPECT_EQ(call.client.read_response().body, body);
    proxy().settle();
  }
  // The next request comes over a new connection and is answered there.
  void expect_new_connection(RawClient& client) {
    client.send(get_request("/health"));
    UpstreamConnectionInTest fresh = server_.accept();
    fresh.read_request();
    fresh.answer(200, "fresh");
    EXPECT_EQ(client.read_response().body, "fresh");
  }
};

TEST_F(PooledRelayTest, AConnectionServesRequestAfterRequest) {
  Exchange call = idle_connection();
  for (int i = 0; i < 3; ++i) {
    call.client.send(get_request("/health"));
    call.server.read_request();
    answer(call, "again");
  }
  RawClient other = connect();
  other.send(get_request("/health"));
  call.server.read_request();
  expect_server_not_called();
  EXPECT_EQ(proxy().counted(Counter::kUpstreamConnects), 1u);
}

TEST_F(PooledRelayTest, EachRequestInFlightHasItsOwnConnection) {
  Exchange one = begin(get_request("/health"));
  Exchange two = begin(get_request("/health"));
  answer(two, "second");
  answer(one, "first");
  EXPECT_EQ(proxy().counted(Counter::kUpstreamConnects), 2u);
}

TEST_F(PooledRelayTest, AConnectionThatDiedWhileIdleIsReplaced) {
  for (bool reset : {false, true}) {
    Exchange call = idle_connection();
    reset ? call.server.reset() : call.server.close();
    expect_new_connection(call.client);
    proxy().set_phase(ModelPhase::kLoading);  // which empties the pool
    proxy().set_phase(ModelPhase::kReady);
  }
}

// It may die just when it is taken: the request was sent, and no byte of an answer came.
TEST_F(PooledRelayTest, SoIsOneThatDiesWithTheNextRequest) {
  for (bool reset : {false, true}) {
    Exchange call = idle_connection();
    std::string body(100'000, 'b');
    call.client.send(post_request("/open", body));
    call.server.read_request();
    reset ? call.server.reset() : call.server.close();
    UpstreamConnectionInTest fresh = server_.accept();
    EXPECT_EQ(fresh.read_request().body, body);
    fresh.answer(200, "fresh", "Connection: close\r\n");
    EXPECT_EQ(call.client.read_response().body, "fresh");
    proxy().settle();
  }
}

// After a while it may have computed, and acted; that it died is no sign of an idle connection's end.
TEST_F(PooledRelayTest, ButNotOneThatDiesLater) {
  setup_.relay_limits.died_idle = std::chrono::milliseconds(0);
  Exchange call = idle_connection();
  call.client.send(post_request("/open", "{}"));
  call.server.read_request();
  call.server.close();
  EXPECT_EQ(call.client.read_response().status(), 502);
  expect_server_not_called();
}

TEST_F(PooledRelayTest, AFreshConnectionThatDiesIsNotTriedAgain) {
  Exchange call = begin(get_request("/health"));
  call.server.close();
  EXPECT_EQ(call.client.read_response().status(), 502);
  expect_server_not_called();
}

TEST_F(PooledRelayTest, AnAnswerThatHasBegunIsNotTriedAgain) {
  Exchange call = idle_connection();
  call.client.send(get_request("/health"));
  call.server.read_request();
  call.server.send("HTTP/1.1 2");
  call.server.close();
  EXPECT_EQ(call.client.read_response().status(), 502);
  expect_server_not_called();
}

TEST_F(PooledRelayTest, WhatTheServerWantsClosedIsClosed) {
  for (const char* answer : {"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
                             "HTTP/1.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
                             "HTTP/1.1 200 OK\r\nConnection: x, Close\r\nTransfer-Encoding: "
                             "chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n"}) {
    Exchange call = begin(get_request("/health"));
    call.server.send(answer);
    EXPECT_EQ(call.client.read_response().body, "ok");
    EXPECT_EQ(call.server.wait_for_end(), End::kEof) << answer;
    expect_new_connection(call.client);
    proxy().set_phase(ModelPhase::kLoading);
    proxy().set_phase(ModelPhase::kReady);
  }
}

TEST_F(PooledRelayTest, BytesThatNobodyAskedForSpoilAConnection) {
  Exchange call = begin(get_request("/health"));
  call.server.send(
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  EXPECT_EQ(call.client.read_response().body, "ok");
  expect_new_connection(call.client);

  Exchange later = begin("GET /health HTTP/1.1\r\nHost: h\r\n\r\n");
  answer(later, "ok");
  later.server.send("HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil");
  expect_new_connection(later.client);
}

TEST_F(PooledRelayTest, ABrokenExchangeLeavesNothingBehind) {
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234");
  read_raw_head(call.client);
  call.client.close();
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  RawClient other = connect();
  expect_new_connection(other);
}

TEST_F(PooledRelayTest, TheServersRestartEmptiesThePool) {
  for (ModelPhase phase : {ModelPhase::kUnhealthy, ModelPhase::kLoading, ModelPhase::kDraining}) {
    Exchange call = idle_connection();
    proxy().set_phase(phase);
    EXPECT_EQ(call.server.wait_for_end(), End::kEof) << phase_name(phase);
    proxy().set_phase(ModelPhase::kReady);
    expect_new_connection(call.client);
    proxy().set_phase(ModelPhase::kLoading);
    proxy().set_phase(ModelPhase::kReady);
  }
}

// An idle connection may die when it is taken; a fresh one after it does not.
TEST_F(PooledRelayTest, TheSecondAttemptIsMadeOnAFreshConnection) {
  std::vector<Exchange> idle;
  for (int i = 0; i < 2; ++i) idle.push_back(begin(get_request("/health")));
  for (Exchange& call : idle) {
    call.server.answer(200, "");
    call.client.read_response();
  }
  proxy().settle();
  RawClient client = connect();
  client.send(get_request("/health"));
  idle[1].server.read_request();
  idle[1].server.close();
  proxy().settle();
  EXPECT_TRUE(server_.is_called());
  EXPECT_TRUE(idle[0].server.is_silent());
}

}  // namespace
}  // namespace cppworker
