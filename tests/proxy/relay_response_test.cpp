// What the inference server answers is what the client gets: status, headers and body, however its end is
// marked on either side.
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

constexpr std::string_view kOldRequest = "GET /health HTTP/1.0\r\nHost: h\r\n\r\n";

class RelayResponseTest : public ProxyTest {
 protected:
  // The server sends `answer` to the request; `close`: and ends its connection.
  RawMessage relay(std::string_view answer, bool close = false) {
    Exchange call = begin(get_request("/health"));
    call.server.send(answer);
    if (close) call.server.close();
    RawMessage response = call.client.read_response();
    expect_usable(call.client);
    return response;
  }

  // Nothing is left over of the last response, and the connection serves another request.
  void expect_usable(RawClient& client) { EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong"); }
};

TEST_F(RelayResponseTest, StatusAndReasonAreTheServers) {
  RawMessage response = relay("HTTP/1.1 424 Failed Dependency\r\nContent-Length: 3\r\n\r\nwhy");
  EXPECT_EQ(response.start_line, "HTTP/1.1 424 Failed Dependency");
  EXPECT_EQ(response.body, "why");
}

TEST_F(RelayResponseTest, HeadersArriveAsTheyWere) {
  std::string gzip("\x1f\x8b\x00\x0d\x0a\xff", 6);
  RawMessage response = relay(
      "HTTP/1.1 200 OK\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Encoding: gzip\r\n"
      "Set-Cookie: a=1; Path=/\r\nSet-Cookie: b=2\r\nX-Compute-Time: 0.5\r\nContent-Length: 6\r\n\r\n" +
      gzip);
  EXPECT_EQ(response.header("Content-Type"), "text/plain; charset=utf-8");
  EXPECT_EQ(response.header("Content-Encoding"), "gzip");
  EXPECT_THAT(response.all("Set-Cookie"), ElementsAre("a=1; Path=/", "b=2"));
  EXPECT_EQ(response.header("X-Compute-Time"), "0.5");
  EXPECT_EQ(response.header("Content-Length"), "6");
  EXPECT_EQ(response.body, gzip);
}

TEST_F(RelayResponseTest, TheServersHopByHopHeadersEndAtTheProxy) {
  RawMessage response = relay(
      "HTTP/1.1 200 OK\r\nConnection: X-Hop, close\r\nX-Hop: 1\r\nKeep-Alive: timeout=5\r\n"
      "Proxy-Authenticate: Basic\r\nUpgrade: h2c\r\nTrailer: X-End\r\nContent-Length: 0\r\n\r\n",
      true);
  EXPECT_EQ(response.header("Connection"), "keep-alive");
  for (const char* name : {"X-Hop", "Keep-Alive", "Proxy-Authenticate", "Upgrade", "Trailer"})
    EXPECT_FALSE(response.has(name)) << name;
}

TEST_F(RelayResponseTest, AKnownLengthIsKept) {
  std::string body(3 << 20, 'b');
  for (std::size_t i = 0; i < body.size(); i += 251) body[i] = static_cast<char>(i);
  RawMessage response =
      relay("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(body.size()) + "\r\n\r\n" + body);
  EXPECT_EQ(response.header("Content-Length"), std::to_string(body.size()));
  EXPECT_TRUE(response.body == body);
}

TEST_F(RelayResponseTest, ChunksStayChunks) {
  RawMessage response = relay("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one") +
                              chunk("two") + std::string(kLastChunk));
  EXPECT_THAT(response.all("Transfer-Encoding"), ElementsAre("chunked"));
  EXPECT_FALSE(response.has("Content-Length"));
  EXPECT_EQ(response.body, "onetwo");
}

// RFC 9110 section 6.5.1 lets a proxy. The body ends as cleanly as without them.
TEST_F(RelayResponseTest, TrailersEndAtTheProxy) {
  Exchange call = begin(get_request("/health", "TE: trailers\r\n"));
  EXPECT_FALSE(call.request.has("TE")) << "nobody is asked for what is dropped";
  call.server.send("HTTP/1.1 200 OK\r\nTrailer: X-Time\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one") +
                   "0\r\nX-Time: 5\r\nX-More: 6\r\n\r\n");
  EXPECT_FALSE(read_raw_head(call.client).has("Trailer"));
  EXPECT_EQ(read_chunk(call.client), "one");
  EXPECT_EQ(call.client.read_exactly(kLastChunk.size()), kLastChunk);
  expect_usable(call.client);
  // Nor do they spoil the server's connection for the next request.
  call.client.send(get_request("/health"));
  EXPECT_EQ(call.server.read_request().target(), "/health");
}

TEST_F(RelayResponseTest, ABodyThatEndsWithTheConnectionBecomesChunks) {
  for (const char* version : {"HTTP/1.0", "HTTP/1.1"}) {
    RawMessage response = relay(std::string(version) + " 200 OK\r\nX-Old: yes\r\n\r\nall of it", true);
    EXPECT_EQ(response.start_line, "HTTP/1.1 200 OK");
    EXPECT_EQ(response.header("Transfer-Encoding"), "chunked");
    EXPECT_EQ(response.header("Connection"), "keep-alive");
    EXPECT_EQ(response.body, "all of it");
  }
}

TEST_F(RelayResponseTest, AnEmptyBodyIsAnEmptyBody) {
  EXPECT_EQ(relay("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").body, "");
  EXPECT_EQ(relay("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n").body, "");
  RawMessage until_end = relay("HTTP/1.0 200 OK\r\n\r\n", true);
  EXPECT_EQ(until_end.header("Transfer-Encoding"), "chunked");
  EXPECT_THAT(until_end.chunks, IsEmpty());
}

TEST_F(RelayResponseTest, StatusesWithoutABodyHaveNone) {
  RawMessage no_content = relay("HTTP/1.1 204 No Content\r\nX-A: 1\r\n\r\n");
  EXPECT_EQ(no_content.status(), 204);
  EXPECT_EQ(no_content.header("X-A"), "1");
  EXPECT_FALSE(no_content.has("Transfer-Encoding"));
  RawMessage with_a_length = relay("HTTP/1.1 204 No Content\r\nContent-Length: 0\r\n\r\n");
  EXPECT_FALSE(with_a_length.has("Content-Length")) << "RFC 9110 section 8.6";
  RawMessage not_modified = relay("HTTP/1.1 304 Not Modified\r\nETag: \"x\"\r\nContent-Length: 5\r\n\r\n");
  EXPECT_EQ(not_modified.status(), 304);
  EXPECT_EQ(not_modified.header("Content-Length"), "5");
  EXPECT_FALSE(not_modified.has("Transfer-Encoding"));
}

TEST_F(RelayResponseTest, AHeadRequestGetsTheHeadAlone) {
  for (const char* framing : {"Content-Length: 123\r\n", "Transfer-Encoding: chunked\r\n", ""}) {
    Exchange call = begin("HEAD /health HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_EQ(call.request.start_line, "HEAD /health HTTP/1.1");
    call.server.send("HTTP/1.1 200 OK\r\nContent-Type: a/b\r\n" + std::string(framing) + "\r\n");
    RawMessage response = call.client.read_head_response();
    EXPECT_EQ(response.header("Content-Type"), "a/b");
    EXPECT_EQ(response.header("Content-Length"), std::string(framing).starts_with("C") ? "123" : "");
    expect_usable(call.client);
  }
}

TEST_F(RelayResponseTest, InformationalResponsesAreSkipped) {
  RawMessage response = relay(
      "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
      "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok");
  EXPECT_EQ(response.status(), 200);
  EXPECT_FALSE(response.has("Link"));
  EXPECT_EQ(response.body, "ok");
}

TEST_F(RelayResponseTest, AnHttp10ClientGetsAnUnknownLengthUpToTheEnd) {
  for (std::string answer : {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one") +
                                 chunk("two") + std::string(kLastChunk),
                             std::string("HTTP/1.0 200 OK\r\n\r\nonetwo")}) {
    // Even one that would like to keep its connection: its end is the only mark that there is.
    Exchange call = begin("GET /health HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
    call.server.send(answer);
    call.server.close();
    RawMessage response = call.client.read_response();
    EXPECT_FALSE(response.has("Transfer-Encoding"));
    EXPECT_FALSE(response.has("Content-Length"));
    EXPECT_EQ(response.header("Connection"), "close");
    EXPECT_EQ(response.body, "onetwo");
    EXPECT_EQ(call.client.end(), End::kEof);
  }
}

TEST_F(RelayResponseTest, AnHttp10ClientMayKeepItsConnectionWhereTheLengthIsKnown) {
  Exchange call = begin("GET /health HTTP/1.0\r\nHost: h\r\nConnection: keep-alive\r\n\r\n");
  call.server.answer(200, "known", "Connection: close\r\n");
  RawMessage response = call.client.read_response();
  EXPECT_EQ(response.header("Connection"), "keep-alive");
  EXPECT_EQ(response.body, "known");
  expect_usable(call.client);

  Exchange without = begin(kOldRequest);
  without.server.answer(200, "known");
  EXPECT_EQ(without.client.read_response().header("Connection"), "close");
  EXPECT_EQ(without.client.wait_for_end(), End::kEof);
}

TEST_F(RelayResponseTest, TheRequestIdIsEchoedAndTheServersOwnIsNot) {
  Exchange call = begin(get_request("/health", "X-Request-Id: mine-1\r\n"));
  call.server.answer(200, "", "X-Request-Id: the-servers\r\n");
  EXPECT_THAT(call.client.read_response().all("X-Request-Id"), ElementsAre("mine-1"));
}

}  // namespace
}  // namespace cppworker
