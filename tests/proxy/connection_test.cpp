// Reading requests: limits, framing, and how long a connection lives.
#include "tests/proxy/allocated_bytes.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

constexpr std::string_view kHeadTooLarge = "proxy: the request's headers are too large";
constexpr std::string_view kBodyTooLarge = "proxy: the request's body is too large";

class ConnectionTest : public ProxyTest {
 protected:
  ConnectionTest() {
    setup_.connection_limits.head_bytes = 2000;
    endpoint("POST", "/open").max_body_bytes = 1000;
  }

  static std::string head_with_length(std::size_t length, std::string_view more = {}) {
    return "POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(length) + "\r\n" +
           std::string(more) + "\r\n";
  }
  static std::string chunked_head() {
    return "POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  }
  void expect_refused_and_closed(RawClient& client, int status, std::string_view text) {
    RawMessage response = client.read_response();
    expect_error(response, status, text);
    EXPECT_EQ(response.header("Connection"), "close");
    EXPECT_EQ(client.wait_for_end(), End::kEof);
    expect_server_not_called();
  }
  // The server gets this body and answers; the client gets that.
  void serve(RawClient& client, std::string_view body) {
    UpstreamConnectionInTest server = server_.accept();
    EXPECT_EQ(server.read_request().body, body);
    server.answer(200, "done", "Connection: close\r\n");
    EXPECT_EQ(client.read_response().body, "done");
  }
};

// ---- limits

TEST_F(ConnectionTest, ALargeHeadIsServedUpToTheLimitAndRefusedAboveIt) {
  RawClient client = connect();
  EXPECT_EQ(client.exchange(get_request("/ping", "X: " + std::string(1800, 'x') + "\r\n")).body, "pong");
  client.send(get_request("/ping", "X: " + std::string(2000, 'x') + "\r\n"));
  expect_refused_and_closed(client, 431, kHeadTooLarge);
  EXPECT_EQ(proxy().counted(Counter::kBadRequest431), 1u);
}

TEST_F(ConnectionTest, ALargeTargetIsRefused) {
  RawClient client = connect();
  client.send(get_request("/health?" + std::string(2000, 'x')));
  expect_refused_and_closed(client, 414, "proxy: the request's target is too long");
  EXPECT_EQ(proxy().counted(Counter::kBadRequest414), 1u);
}

TEST_F(ConnectionTest, ALineThatNeverEndsIsRefusedAtTheLimit) {
  RawClient client = connect();
  client.send("GET /health HTTP/1.1\r\nX-Endless: ");
  for (int sent = 0; sent < 2000; ++sent) client.send("x");
  expect_refused_and_closed(client, 431, kHeadTooLarge);
}

// However the lines are cut into packets: a parser that has taken whole lines in may count from there.
TEST_F(ConnectionTest, AHeadThatNeverEndsIsRefusedAtTheLimit) {
  RawClient client = connect();
  client.send("GET /health HTTP/1.1\r\nHost: h\r\n");
  for (int sent = 0; sent < 2000 && client.is_silent(); sent += 8) {
    client.send("X: 123\r\n");
    proxy().settle();
  }
  ASSERT_FALSE(client.is_silent()) << "the proxy waits for more";
  expect_refused_and_closed(client, 431, kHeadTooLarge);
}

TEST_F(ConnectionTest, ATooLargeBodyIsRefusedBeforeItIsRead) {
  RawClient client = connect();
  client.send(head_with_length(1001));
  expect_refused_and_closed(client, 413, kBodyTooLarge);
  EXPECT_EQ(proxy().counted(Counter::kBadRequest413), 1u);
}

TEST_F(ConnectionTest, ABodyOfTheLargestSizeIsServed) {
  std::string body(1000, 'b');
  RawClient client = connect();
  client.send(head_with_length(1000) + body);
  serve(client, body);
  client.send(chunked_head() + chunk(body.substr(0, 400)) + chunk(body.substr(400)) +
              std::string(kLastChunk));
  serve(client, body);
}

TEST_F(ConnectionTest, ATooLargeBodyOfChunksIsRefusedWhenItsSizeIsKnown) {
  RawClient client = connect();
  client.send(chunked_head() + chunk(std::string(600, 'a')) + "191\r\n");
  expect_refused_and_closed(client, 413, kBodyTooLarge);
}

TEST_F(ConnectionTest, EndpointsWithoutALimitOfTheirOwnHaveTheProxys) {
  setup_.settings.max_body_bytes = 500;
  endpoint("PUT", "/open").max_body_bytes.reset();
  RawClient client = connect();
  client.send("PUT /open HTTP/1.1\r\nHost: h\r\nContent-Length: 501\r\n\r\n");
  expect_refused_and_closed(client, 413, kBodyTooLarge);
}

TEST_F(ConnectionTest, ConnectionsPastTheLimitAreClosedUnread) {
  setup_.settings.max_connections = 2;
  setup_.settings.address_share_percent = 0;
  RawClient one = connect(), two = connect();
  EXPECT_EQ(one.exchange(get_request("/ping")).body, "pong");
  EXPECT_EQ(two.exchange(get_request("/ping")).body, "pong");
  const RawMessage refused = connect().exchange(get_request("/ping"));
  expect_error(refused, 503, "proxy: too many connections");
  EXPECT_EQ(refused.header("Retry-After"), "2");
  EXPECT_EQ(refused.header("Connection"), "close");
  EXPECT_EQ(proxy().counted(Counter::kConnectionsRefusedFull), 1u);
  one.close();
  proxy().settle();
  EXPECT_EQ(connect().exchange(get_request("/ping")).body, "pong");
}

// ---- Expect

TEST_F(ConnectionTest, AClientThatWaitsIsAskedForItsBody) {
  RawClient client = connect();
  client.send(head_with_length(5, "Expect: 100-continue\r\n"));
  EXPECT_EQ(client.read_until("\r\n\r\n"), "HTTP/1.1 100 Continue\r\n\r\n");
  client.send("hello");
  serve(client, "hello");
}

TEST_F(ConnectionTest, AClientThatDoesNotWaitIsNotAsked) {
  RawClient client = connect();
  client.send(head_with_length(5, "Expect: 100-continue\r\n") + "hello");
  serve(client, "hello");
}

TEST_F(ConnectionTest, ABodyThatIsNotWantedIsNotAskedFor) {
  RawClient large = connect();
  large.send(head_with_length(1001, "Expect: 100-continue\r\n"));
  EXPECT_EQ(large.read_response().status(), 413);
  RawClient lost = connect();
  lost.send("POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  EXPECT_EQ(lost.read_response().status(), 404);
}

// ---- how requests arrive

TEST_F(ConnectionTest, ARequestMayComeByteByByte) {
  RawClient client = connect();
  for (char c : chunked_head() + "3;ext=\"1\"\r\none\r\n" + chunk("two") + std::string(kLastChunk)) {
    client.send({&c, 1});
    proxy().settle();
  }
  serve(client, "onetwo");
}

// They were read in a loop that let nobody else's turn come, for as long as they came.
TEST_F(ConnectionTest, AFewEmptyLinesBeforeARequestAreDroppedAndNoMore) {
  RawClient client = connect();
  for (int i = 0; i < 3; ++i)
    EXPECT_EQ(client.exchange("\r\n\r\n\r\n\r\n" + get_request("/ping")).body, "pong");
  std::string endless;
  for (int i = 0; i < 10'000; ++i) endless += "\r\n";
  client.send(endless);
  proxy().settle();
  ASSERT_FALSE(client.is_silent()) << "the proxy waits for more";
  expect_refused_and_closed(client, 400, "proxy: too many empty lines before a request");
}

TEST_F(ConnectionTest, TheyAreCountedInPiecesToo) {
  RawClient client = connect();
  client.send("\r");
  for (int i = 0; i < 20 && client.is_silent(); ++i) {
    client.try_send("\n\r");
    proxy().settle();
  }
  ASSERT_FALSE(client.is_silent()) << "the proxy waits for more";
  expect_refused_and_closed(client, 400, "proxy: too many empty lines before a request");
}

TEST_F(ConnectionTest, PipelinedRequestsAreAnsweredInOrder) {
  RawClient client = connect();
  client.send(post_request("/open", "one") + get_request("/ping") + post_request("/open", "two") +
              get_request("/nowhere"));
  serve(client, "one");
  EXPECT_EQ(client.read_response().body, "pong");
  serve(client, "two");
  EXPECT_EQ(client.read_response().status(), 404);
}

TEST_F(ConnectionTest, ARequestSentWhileAnotherIsServedWaits) {
  Exchange call = begin(post_request("/open", "one"));
  std::string next = get_request("/ping");
  call.client.send(next.substr(0, 10));
  proxy().settle();
  EXPECT_TRUE(call.server.is_silent());
  call.client.send(next.substr(10));
  proxy().settle();
  EXPECT_TRUE(call.client.is_silent());
  call.server.answer(200, "done");
  EXPECT_EQ(call.client.read_response().body, "done");
  EXPECT_EQ(call.client.read_response().body, "pong");
}

TEST_F(ConnectionTest, MuchThatIsSentAheadIsLeftInTheKernelAndServedLater) {
  Exchange call = begin(post_request("/open", "one"));
  std::string ahead;
  for (int i = 0; i < 200; ++i) ahead += get_request("/ping", "X: " + std::string(900, 'x') + "\r\n");
  call.client.send(ahead);
  proxy().settle();
  call.server.answer(200, "done");
  EXPECT_EQ(call.client.read_response().body, "done");
  for (int i = 0; i < 200; ++i) EXPECT_EQ(call.client.read_response().body, "pong");
}

// The limit that a chunked body puts on what is read goes with that body.
TEST_F(ConnectionTest, AHeadThatIsLargerThanWhatMayBeSentAheadIsServedAfterAChunkedBody) {
  setup_.connection_limits.head_bytes = 1 << 20;
  RawClient client = connect();
  client.send(chunked_head() + chunk("one") + std::string(kLastChunk));
  serve(client, "one");
  std::string headers;
  for (int i = 0; i < 5; ++i) headers += "X: " + std::string(40'000, 'x') + "\r\n";
  EXPECT_EQ(client.exchange(get_request("/ping", headers)).body, "pong");
}

// ---- how connections end

TEST_F(ConnectionTest, Http11IsKeptUnlessTheClientSaysOtherwise) {
  RawClient client = connect();
  EXPECT_EQ(client.exchange(get_request("/ping")).header("Connection"), "keep-alive");
  EXPECT_EQ(client.exchange(get_request("/nowhere")).header("Connection"), "keep-alive");
  EXPECT_EQ(client.exchange(get_request("/ping", "Connection: close\r\n")).header("Connection"), "close");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
  for (std::string request : {get_request("/nowhere", "Connection: close\r\n"),
                              get_request("/health", "Connection: x, Close\r\n")}) {
    RawClient other = connect();
    server_.stop_listening();
    EXPECT_EQ(other.exchange(request).header("Connection"), "close");
    EXPECT_EQ(other.wait_for_end(), End::kEof);
  }
}

TEST_F(ConnectionTest, ARelayedAnswerToAClosingClientSaysSo) {
  Exchange call = begin(post_request("/open", "", "Connection: close\r\n"));
  call.server.answer(200, "last", "Connection: keep-alive\r\n");
  EXPECT_EQ(call.client.read_response().header("Connection"), "close");
  EXPECT_EQ(call.client.wait_for_end(), End::kEof);
}

TEST_F(ConnectionTest, Http10IsClosedUnlessTheClientSaysOtherwise) {
  RawClient client = connect();
  EXPECT_EQ(client.exchange("GET /ping HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").header("Connection"),
            "keep-alive");
  EXPECT_EQ(client.exchange("GET /ping HTTP/1.0\r\n\r\n").header("Connection"), "close");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

TEST_F(ConnectionTest, AClientThatLeavesInsideARequestIsForgotten) {
  for (std::string half : {std::string("GET /hea"), head_with_length(5) + "he", chunked_head() + "5\r\nhe"}) {
    RawClient client = connect();
    client.send(half);
    proxy().settle();
    client.shutdown_write();
    EXPECT_EQ(client.wait_for_end(), End::kEof);
    proxy().settle();
    EXPECT_EQ(proxy().core().connections, 0);
  }
  expect_server_not_called();
}

// A connection closed at once would be reset by what is still under way of the body, and the answer with it.
TEST_F(ConnectionTest, ARefusedClientMaySendItsBodyAndReadTheAnswer) {
  std::string body(512 << 10, 'b');
  for (const char* target : {"/nowhere", "/health", "/open"}) {
    RawClient client = connect();
    client.send("POST " + std::string(target) +
                " HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n");
    proxy().settle();  // it has answered and said that no more will come
    for (std::size_t at = 0; at < body.size(); at += 4096) {
      ASSERT_TRUE(client.try_send(std::string_view(body).substr(at, 4096))) << target << " at " << at;
      proxy().settle();
    }
    RawMessage response = client.read_response();
    EXPECT_EQ(response.status() / 100, 4);
    EXPECT_EQ(response.header("Connection"), "close");
    EXPECT_EQ(client.wait_for_end(), End::kEof) << target;
    client.shutdown_write();
    proxy().settle();
    EXPECT_EQ(proxy().core().connections, 0);
  }
}

// RFC 9110 section 10.1.1: such a client doesn't know interim responses.
TEST_F(ConnectionTest, AnHttp10ClientIsNotAskedForItsBody) {
  RawClient client = connect();
  client.send("POST /open HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  proxy().settle();
  EXPECT_TRUE(client.is_silent());
}

// Common clients (Python's) send the whole body before they read.
TEST_F(ConnectionTest, ARefusedClientMaySendALargeBodyBeforeItReads) {
  setup_.settings.max_body_bytes = 1 << 20;
  std::string body(8 << 20, 'b');
  RawClient client = connect();
  EXPECT_TRUE(client.try_send(post_request("/open", body)));
  EXPECT_EQ(client.read_response().status(), 413);
}

// Beast's parser takes for granted that more has come by then (common/asio.cpp).
TEST_F(ConnectionTest, ABodyWhoseFirstChunkIsTheLastMayComeInPieces) {
  RawClient client = connect();
  client.send(chunked_head() + "0\r\n");
  proxy().settle();
  for (const char* piece : {"\r", "\n"}) {
    EXPECT_TRUE(client.is_silent());
    client.send(piece);
    proxy().settle();
  }
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().body, "");
}

// A chunk's line and the trailers are outside the body's limit, and outside the budget of all bodies.
TEST_F(ConnectionTest, WhatStandsAroundChunksHasALimit) {
  const std::string head = "POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n";
  const std::string endless(1 << 20, '0');
  for (const char* begun : {"5;a=", "0", "2\r\n{}\r\n0\r\nX: "}) {
    RawClient client = connect();
    client.try_send(head + begun + endless);
    expect_error(client.read_response(), 400, "proxy: malformed chunked body");
  }
}

// 1500 strangers who let such a line stand unfinished held 110 MiB, which no figure told of.
TEST_F(ConnectionTest, WhatStandsAroundTheChunksOfManyTakesLittle) {
  constexpr std::size_t kClients = 100, kMostForEach = 24 * 1024;
  setup_.connection_limits.head_bytes = 16 * 1024;
  std::vector<RawClient> clients;
  for (std::size_t i = 0; i < kClients; ++i) clients.push_back(connect());
  proxy().settle();
  const std::size_t before = bytes_allocated();
  for (const char* begun : {"1;", "2\r\n{}\r\n0\r\nX: "}) {
    for (RawClient& client : clients) client.send(chunked_head() + begun + std::string(7000, 'x'));
    proxy().settle();
    EXPECT_LT(bytes_allocated(), before + kClients * kMostForEach);
    for (RawClient& client : clients) client.try_send(std::string(53'000, 'x'));
    proxy().settle();
    EXPECT_LT(bytes_allocated(), before + kClients * kMostForEach);
    for (RawClient& client : clients) {
      ASSERT_FALSE(client.is_silent()) << "the proxy waits for more";
      expect_error(client.read_response(), 400, "proxy: malformed chunked body");
      client = connect();
    }
  }
}

// A byte in each costs as much as a page in each.
TEST_F(ConnectionTest, ChunksOfAByteAreNotTakenWithoutEnd) {
  endpoint("POST", "/open").max_body_bytes = 1 << 20;
  std::string tiny, small;
  for (int i = 0; i < 30'000; ++i) tiny += "1\r\nx\r\n";
  for (int i = 0; i < 10'000; ++i) small += "1\r\nx\r\n";
  RawClient client = connect();
  client.try_send(chunked_head() + tiny + std::string(kLastChunk));
  expect_error(client.read_response(), 400, "proxy: malformed chunked body");
  EXPECT_EQ(begin(chunked_head() + small + std::string(kLastChunk)).request.body.size(), 10'000u)
      << "a text that is sent word by word";
}

TEST_F(ConnectionTest, AllBodiesTogetherHaveABudget) {
  setup_.settings.max_buffered_bytes = 1000;
  endpoint("POST", "/open").max_body_bytes = 64 * 1024;
  std::string body(BodyBuffer::kUncharged + 700, 'b');
  Exchange first = begin(post_request("/open", body));
  RawMessage refused = connect().exchange(post_request("/open", body));
  expect_error(refused, 503, "proxy: too many large request bodies at once");
  EXPECT_EQ(proxy().counted(Counter::kBodiesFull), 1u);
  EXPECT_NE(refused.header("Retry-After"), "");
  Exchange small = begin(post_request("/open", std::string(BodyBuffer::kUncharged, 's')));
  small.server.answer(200, "small ones need no share", "Connection: close\r\n");
  EXPECT_EQ(small.client.read_response().status(), 200);
  first.server.answer(200, "ok", "Connection: close\r\n");
  EXPECT_EQ(first.client.read_response().status(), 200);
  proxy().settle();
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
  EXPECT_EQ(begin(post_request("/open", body)).request.body.size(), body.size());
}

}  // namespace
}  // namespace cppworker
