// The public port under TLS, as clients meet it: what is served, when nobody is, and that what holds for
// plain connections holds here. (How a client's leaving is noticed: client_gone_test.cpp.)
#include "proxy/tls_context.hpp"

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using std::chrono::seconds;

class TlsTest : public SignedProxyTest {
 protected:
  TlsTest() { serve_tls(); }
};

TEST_F(TlsTest, ServesRequestAfterRequest) {
  Exchange call = begin(generate());
  EXPECT_EQ(call.request.body, R"({"work": 3})");
  call.server.answer(200, "one");
  EXPECT_EQ(call.client.read_response().body, "one");
  call.client.send(get_request("/health") + get_request("/ping"));
  call.server.read_request();
  call.server.answer(200, std::string(1 << 20, 'x'));
  EXPECT_EQ(call.client.read_response().body, std::string(1 << 20, 'x'));
  EXPECT_EQ(call.client.read_response().body, "pong") << "sent ahead, before the answer";
}

TEST_F(TlsTest, PassesEventsOnAsTheyCome) {
  Exchange call = begin(generate());
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n");
  read_raw_head(call.client);
  for (const char* event : {"one", "two", "three"}) {
    call.server.send(chunk(event));
    EXPECT_EQ(read_chunk(call.client), event);
  }
  call.server.send(kLastChunk);
  EXPECT_EQ(read_chunk(call.client), "");
  EXPECT_EQ(proxy().books().totals.served.requests, 1);
}

TEST_F(TlsTest, TakesABodyOfManyRecords) {
  const std::string text(3 << 20, 'A');
  Exchange call = begin(generate("{\"work\": 3, \"image\": \"" + text + "\"}"));
  EXPECT_EQ(call.request.body, "{\"work\": 3, \"image\": \"" + text + "\"}");
}

// One such request once ended the proxy: the limit that a chunked body puts on what is read was met by the
// watch on the client.
TEST_F(TlsTest, MuchThatIsSentAheadBehindAChunkedBodyIsServedLater) {
  Exchange call = begin("GET /health HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
                        std::string(kLastChunk));
  std::string ahead;
  for (int i = 0; i < 200; ++i) ahead += get_request("/ping", "X: " + std::string(900, 'x') + "\r\n");
  // Read apart, so that what follows in whole steps of a read ends past the limit, and not on it.
  call.client.send(ahead.substr(0, 10));
  proxy().settle();
  call.client.send(ahead.substr(10));
  proxy().settle();
  call.server.answer(200, "done");
  EXPECT_EQ(call.client.read_response().body, "done");
  for (int i = 0; i < 200; ++i) EXPECT_EQ(call.client.read_response().body, "pong");
}

TEST_F(TlsTest, ANewCertificateReachesNewConnectionsAndEndsNoOldOne) {
  Exchange call = begin(generate());
  EXPECT_EQ(call.client.common_name(), "worker");
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(call.client);
  EXPECT_EQ(read_chunk(call.client), "one");
  const std::weak_ptr<asio::ssl::context> old = setup_.tls;
  setup_.tls.reset();

  proxy().set_tls(test_tls_context("renewed"));
  EXPECT_EQ(connect().common_name(), "renewed");
  call.server.send(chunk("two"));
  EXPECT_EQ(read_chunk(call.client), "two");
  EXPECT_FALSE(old.expired());
  call.server.send(kLastChunk);
  EXPECT_EQ(read_chunk(call.client), "");
  call.client.send(get_request("/ping"));
  EXPECT_EQ(call.client.read_response().body, "pong") << "kept for the next request, too";
  call.client.close();
  proxy().settle();
  EXPECT_TRUE(old.expired()) << "gone with its last connection";
}

TEST_F(TlsTest, WithoutACertificateNobodyIsServed) {
  setup_.tls.reset();
  RawClient client = connect_plainly();
  EXPECT_EQ(client.wait_for_end(), End::kEof);
  RawClient other = connect_plainly();
  other.try_send(get_request("/ping"));
  EXPECT_EQ(other.read_to_end(), "") << "least of all in plain text";
  EXPECT_EQ(proxy().core().connections, 0);
  proxy().set_tls(test_tls_context("worker"));
  EXPECT_EQ(connect().exchange(get_request("/ping")).body, "pong");
}

TEST_F(TlsTest, WhatIsNotTlsIsClosedInOrder) {
  for (const std::string& noise : {get_request("/ping"), std::string(3000, '\x17')}) {
    RawClient client = connect_plainly();
    client.send(noise);
    EXPECT_EQ(client.wait_for_end(), End::kEof);
    client.close();
    proxy().settle();
    EXPECT_EQ(proxy().core().connections, 0);
  }
  EXPECT_EQ(proxy().counted(Counter::kTlsHandshakesFailed), 2u);
  expect_server_not_called();
}

TEST_F(TlsTest, AHandshakeThatDoesNotGoOnIsCutOff) {
  setup_.connection_limits.handshake = seconds(1000);
  setup_.connection_limits.idle = seconds(1'000'000);
  RawClient silent = connect_plainly(), half = connect_plainly();
  // The beginning of a ClientHello of 512 bytes.
  half.send(std::string_view("\x16\x03\x01\x02\x00\x01\x00\x01\xfc", 9));
  proxy().pass_time(seconds(500));
  EXPECT_TRUE(silent.is_silent() && half.is_silent());
  EXPECT_EQ(proxy().core().connections, 2);
  proxy().pass_time(seconds(2000));
  EXPECT_EQ(silent.wait_for_end(), End::kEof);
  EXPECT_EQ(half.wait_for_end(), End::kEof);
  EXPECT_EQ(proxy().core().connections, 0);
}

TEST_F(TlsTest, AnIdleConnectionIsClosedInItsTime) {
  setup_.connection_limits.idle = seconds(1000);
  RawClient client = connect();
  EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong");
  proxy().pass_time(seconds(500));
  EXPECT_TRUE(client.is_silent());
  proxy().pass_time(seconds(2000));
  EXPECT_NE(client.wait_for_end(), End::kOpen);
  EXPECT_EQ(proxy().core().connections, 0);
}

TEST_F(TlsTest, ARefusedClientGetsToReadWhyBeforeTheEnd) {
  endpoint("POST", "/generate").max_body_bytes = 100;
  RawClient client = connect();
  client.send("POST /generate HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" +
              std::string(50'000, 'x'));
  RawMessage response = client.read_response();
  EXPECT_EQ(response.status(), 413);
  EXPECT_EQ(client.wait_for_end(), End::kEof) << "said to be the end, though bytes were on their way";
}

TEST_F(TlsTest, SoDoesOneThatWantedTheWorkersOwnAnswerAlone) {
  RawClient client = connect();
  EXPECT_EQ(client.exchange(get_request("/ping", "Connection: close\r\n")).body, "pong");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

TEST_F(TlsTest, ABodyThatEndsWithTheConnectionIsSaidToBeWhole) {
  RawClient client = connect();
  client.send("POST /open HTTP/1.0\r\nContent-Length: 2\r\n\r\n{}");
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  server.send("HTTP/1.0 200 OK\r\n\r\nall of it");
  server.close();
  read_raw_head(client);
  EXPECT_EQ(client.read_to_end(), "all of it");
  EXPECT_EQ(client.end(), End::kEof);
}

TEST_F(TlsTest, ABodyThatBreaksOffIsNeverSaidToBeWhole) {
  Exchange call = begin(generate());
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf of it");
  proxy().settle();
  call.server.reset();
  read_raw_head(call.client);
  try {
    call.client.read_to_end();
  } catch (const std::runtime_error&) {
  }
  EXPECT_THAT(call.client.end(), testing::AnyOf(End::kReset, End::kTruncated));
}

TEST_F(TlsTest, AClientThatDoesNotReadIsWaitedForAndThenCutOff) {
  setup_.relay_limits.write = seconds(1000);
  setup_.relay_limits.between = seconds(1'000'000);
  setup_.relay_limits.whole = seconds(1'000'000);
  Exchange call = begin(generate());
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  EXPECT_LT(send_until_stuck(call.server), std::size_t{64} << 20);
  proxy().pass_time(seconds(2000));
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  EXPECT_EQ(proxy().books().in_flight.size(), 0u);
}

}  // namespace
}  // namespace cppworker
