// The request that reaches the inference server: the client's own, less what is of this hop or of the
// autoscaler alone.
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using ::testing::ElementsAre;
using ::testing::MatchesRegex;

class RelayRequestTest : public ProxyTest {
 protected:
  // As the server gets it.
  RawMessage forwarded(std::string_view request) { return begin(request).request; }
};

TEST_F(RelayRequestTest, MethodTargetAndBodyAreTheClients) {
  std::string body("{\"a\": \"\xc3\xa9 \x01\"}\0\r\n\r\n", 18);
  RawMessage request = forwarded(post_request("/open?a=1&b=%20x&a=2", body));
  EXPECT_EQ(request.start_line, "POST /open?a=1&b=%20x&a=2 HTTP/1.1");
  EXPECT_EQ(request.body, body);
}

TEST_F(RelayRequestTest, HeadersAreTheClientsInTheirOrder) {
  RawMessage request = forwarded(get_request(
      "/health", "Accept: text/event-stream\r\nX-A: 1\r\nx-b:  spaced out \t\r\nX-A: 2\r\nCookie: c=d\r\n"));
  EXPECT_EQ(request.header("Accept"), "text/event-stream");
  EXPECT_THAT(request.all("X-A"), ElementsAre("1", "2"));
  EXPECT_EQ(request.header("X-B"), "spaced out");
  EXPECT_EQ(request.header("Cookie"), "c=d");
}

TEST_F(RelayRequestTest, HostIsTheServersOwn) {
  EXPECT_THAT(forwarded(get_request("/health")).all("Host"), ElementsAre(server_.authority()));
}

TEST_F(RelayRequestTest, CredentialsAreNotForwarded) {
  RawMessage request = forwarded(get_request("/health?api_key=secret&x=1",
                                             "Authorization: Bearer secret\r\n"
                                             "Proxy-Authorization: Basic secret\r\n"));
  EXPECT_EQ(request.target(), "/health?x=1");
  EXPECT_FALSE(request.has("Authorization"));
  EXPECT_FALSE(request.has("Proxy-Authorization"));
}

TEST_F(RelayRequestTest, HopByHopHeadersAreNotForwarded) {
  RawMessage request = forwarded(get_request("/health",
                                             "Connection: keep-alive, x-named\r\nX-Named: 1\r\n"
                                             "Keep-Alive: timeout=9\r\nProxy-Connection: keep-alive\r\n"
                                             "TE: trailers\r\nTrailer: X-T\r\nUpgrade: h2c\r\n"));
  for (const char* name :
       {"Connection", "X-Named", "Keep-Alive", "Proxy-Connection", "TE", "Trailer", "Upgrade"})
    EXPECT_FALSE(request.has(name)) << name;
}

TEST_F(RelayRequestTest, TracesAreForwarded) {
  RawMessage request =
      forwarded(get_request("/health",
                            "traceparent: 00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01\r\n"
                            "tracestate: a=b\r\nX-Request-Id: mine-1\r\n"));
  EXPECT_EQ(request.header("traceparent"), "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01");
  EXPECT_EQ(request.header("tracestate"), "a=b");
  EXPECT_THAT(request.all("X-Request-Id"), ElementsAre("mine-1"));
}

TEST_F(RelayRequestTest, ARequestIdIsMadeWhereThereIsNone) {
  std::vector<std::string> made;
  for (int i = 0; i < 2; ++i) {
    Exchange call = begin(get_request("/health"));
    made.push_back(call.request.header("X-Request-Id"));
    EXPECT_THAT(made.back(), MatchesRegex("[0-9a-f]{32}"));
    call.server.answer(200, "");
    EXPECT_THAT(call.client.read_response().all("X-Request-Id"), ElementsAre(made.back()));
  }
  EXPECT_NE(made[0], made[1]);
}

TEST_F(RelayRequestTest, AChunkedBodyIsForwardedWithItsLength) {
  RawMessage request = forwarded("POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" +
                                 chunk("hello ") + chunk("you") + std::string(kLastChunk));
  EXPECT_FALSE(request.has("Transfer-Encoding"));
  EXPECT_THAT(request.all("Content-Length"), ElementsAre("9"));
  EXPECT_EQ(request.body, "hello you");
}

// RFC 9110 section 6.5.1: a trailer isn't a header.
TEST_F(RelayRequestTest, TrailersDoNotBecomeHeaders) {
  RawMessage request = forwarded(
      "POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n"
      "X-Late: 1\r\nContent-Type: text/evil\r\n\r\n");
  EXPECT_EQ(request.body, "{}");
  EXPECT_FALSE(request.has("X-Late"));
  EXPECT_FALSE(request.has("Content-Type"));
}

TEST_F(RelayRequestTest, APostWithoutABodySaysSo) {
  for (std::string request :
       {post_request("/open", ""), std::string("POST /open HTTP/1.1\r\nHost: h\r\n\r\n")})
    EXPECT_THAT(forwarded(request).all("Content-Length"), ElementsAre("0"));
}

TEST_F(RelayRequestTest, AGetWithoutABodyNeedsNoLengthAndOneWithItHasIt) {
  EXPECT_FALSE(forwarded(get_request("/health")).has("Content-Length"));
  RawMessage request = forwarded(get_request("/health", "Content-Length: 2\r\n") + "{}");
  EXPECT_THAT(request.all("Content-Length"), ElementsAre("2"));
  EXPECT_EQ(request.body, "{}");
}

TEST_F(RelayRequestTest, AnHttp10RequestIsForwardedAsHttp11) {
  EXPECT_EQ(forwarded("GET /health HTTP/1.0\r\n\r\n").start_line, "GET /health HTTP/1.1");
}

TEST_F(RelayRequestTest, ALargeBodyArrivesWhole) {
  std::string body(8 << 20, 'b');
  for (std::size_t i = 0; i < body.size(); i += 251) body[i] = static_cast<char>(i);
  RawClient client = connect();
  client.send(post_request("/open", body));
  EXPECT_TRUE(server_.accept().read_request().body == body);
}

// The header may come as several lines.
TEST_F(RelayRequestTest, EveryConnectionLineNamesHopByHopHeaders) {
  RawMessage request =
      begin(get_request("/health", "Connection: keep-alive\r\nConnection: X-Named\r\nX-Named: 1\r\n"))
          .request;
  EXPECT_FALSE(request.has("X-Named"));
}

TEST_F(RelayRequestTest, APutWithoutABodySaysSo) {
  RawMessage request = begin("PUT /open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").request;
  EXPECT_THAT(request.all("Content-Length"), ElementsAre("0"));
}

// RFC 9112 section 7.1.1: a quoted extension holds no control characters.
TEST_F(RelayRequestTest, AChunkExtensionWithAControlCharacterIsRefused) {
  auto chunked = [](const std::string& extension) {
    return "POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5;" + extension +
           "\r\nhello\r\n0\r\n\r\n";
  };
  EXPECT_EQ(connect().exchange(chunked(std::string("a=\"\0\"", 5))).status(), 400);
  EXPECT_EQ(connect().exchange(chunked("a=\"\x01\"")).status(), 400);
  expect_server_not_called();
  EXPECT_EQ(begin(chunked("a=\"b\"")).request.body, "hello");
}

}  // namespace
}  // namespace cppworker
