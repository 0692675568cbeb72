// Where the proxy falls short of HTTP, or of what its own comments promise. Each of these fails today; when
// one holds, it moves to the file of its concept.
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using std::chrono::seconds;
using ::testing::ElementsAre;

class ConformanceGapsTest : public ProxyTest {
 protected:
  // The bytes that come to this request, up to the proxy's rest.
  std::string answer_to(std::string_view request) {
    RawClient client = connect();
    client.send(request);
    proxy().settle();
    return client.read_now();
  }
};

// RFC 9110 section 9.3.2. The body's bytes are read as the next response.
TEST_F(ConformanceGapsTest, OwnAnswersToAHeadRequestHaveNoBody) {
  for (const char* target : {"/ping", "/nowhere", "/open"}) {
    std::string answer = answer_to("HEAD " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    EXPECT_THAT(answer, testing::EndsWith("\r\n\r\n")) << target;
  }
}

// RFC 9110 section 10.1.1: such a client doesn't know interim responses.
TEST_F(ConformanceGapsTest, AnHttp10ClientIsNotAskedForItsBody) {
  RawClient client = connect();
  client.send("POST /open HTTP/1.0\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  proxy().settle();
  EXPECT_EQ(client.read_now(), "");
}

// message_heads.hpp: named in `Connection` or not. The header may come as several lines.
TEST_F(ConformanceGapsTest, EveryConnectionLineNamesHopByHopHeaders) {
  RawMessage request =
      begin(get_request("/health", "Connection: keep-alive\r\nConnection: X-Named\r\nX-Named: 1\r\n"))
          .request;
  EXPECT_FALSE(request.has("X-Named"));
}

// message_heads.hpp: always with Content-Length, but for GET and HEAD.
TEST_F(ConformanceGapsTest, APutWithoutABodySaysSo) {
  RawMessage request = begin("PUT /open HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n\r\n").request;
  EXPECT_THAT(request.all("Content-Length"), ElementsAre("0"));
}

// RFC 9112 section 7.1.1: a quoted extension holds no control characters. Its length isn't in doubt.
TEST_F(ConformanceGapsTest, AChunkExtensionWithANulIsRefused) {
  std::string body("5;a=\"\0\"\r\nhello\r\n0\r\n\r\n", 21);
  std::string answer =
      answer_to("POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + body);
  EXPECT_THAT(answer, testing::StartsWith("HTTP/1.1 400 "));
}

// connection.hpp: the client gets to read the answer before the end. A 408 is sent to one whose bytes are
// still on their way.
TEST_F(ConformanceGapsTest, AClientThatIsTooSlowMayGoOnSendingAndReadTheAnswer) {
  setup_.connection_limits.body = seconds(1000);
  RawClient client = connect();
  client.send("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nhe");
  proxy().settle();
  proxy().pass_time(seconds(2000));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(client.try_send(std::string(4096, 'b')));
    proxy().settle();
  }
  EXPECT_EQ(client.read_response().status(), 408);
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

// Protocol section 3 promises a 413. Common clients (Python's) send the whole body before they read.
TEST_F(ConformanceGapsTest, ARefusedClientMaySendALargeBodyBeforeItReads) {
  setup_.settings.max_body_bytes = 1 << 20;
  std::string body(8 << 20, 'b');
  RawClient client = connect();
  EXPECT_TRUE(client.try_send(post_request("/open", body)));
  EXPECT_EQ(client.read_response().status(), 413);
}

// A server that refuses a body early and reads no more of it: its answer is there all the while.
TEST_F(ConformanceGapsTest, AnAnswerIsReadWhileTheBodyIsBeingSent) {
  RawClient client = connect();
  client.send(post_request("/open", std::string(32 << 20, 'b')));
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  server.answer(413, "too large", "Connection: close\r\n");
  proxy().settle();
  ASSERT_FALSE(client.is_silent()) << "the proxy waits for the server to read";
  EXPECT_EQ(client.read_response().status(), 413);
}

// relay.cpp: an idle connection may die when it is taken; a fresh one after it does not.
TEST_F(ConformanceGapsTest, TheSecondAttemptIsMadeOnAFreshConnection) {
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

// Nothing was upgraded, so no final response will follow: until the first byte's limit the client hears
// nothing.
TEST_F(ConformanceGapsTest, A101ThatNobodyAskedForIsABadAnswer) {
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
  proxy().settle();
  ASSERT_FALSE(call.client.is_silent()) << "the proxy waits for more";
  EXPECT_EQ(call.client.read_response().status(), 502);
}

// Protocol section 6 has GET /ping.
TEST_F(ConformanceGapsTest, PingIsForGetAndWithAnyQuery) {
  EXPECT_THAT(answer_to("DELETE /ping HTTP/1.1\r\nHost: h\r\n\r\n"), testing::StartsWith("HTTP/1.1 405 "));
  EXPECT_THAT(answer_to(get_request("/ping?now=1")), testing::StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace cppworker
