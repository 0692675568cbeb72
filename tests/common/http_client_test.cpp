#include "common/http_client.hpp"

#include <gmock/gmock.h>

#include "tests/common/movable_clock.hpp"
#include "tests/common/raw_server.hpp"
#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

class HttpClientTest : public testing::Test {
 protected:
  Result<HttpResponse> exchange(const RawServer& server, HttpRequest request = {},
                                std::size_t largest_body = 1 << 20) {
    request.server = server.url();
    return run_coroutine(io, http_exchange(std::move(request), kTestLimit, largest_body));
  }
  // What comes of an answer of these bytes.
  Result<HttpResponse> answered(const std::string& bytes, std::size_t largest_body = 1 << 20) {
    const RawServer server(io, bytes);
    return exchange(server, {}, largest_body);
  }
  std::string refusal(const std::string& bytes, std::size_t largest_body = 1 << 20) {
    const auto response = answered(bytes, largest_body);
    return response ? "(taken)" : response.error().message;
  }

  MovableClock clock;
  asio::io_context io;
};

TEST_F(HttpClientTest, ReturnsStatusTypeAndBodyWhateverTheStatus) {
  const auto good = answered("HTTP/1.1 200 OK\r\nContent-Type: text/plain\r\nContent-Length: 5\r\n\r\nhello");
  ASSERT_TRUE(good) << good.error().message;
  EXPECT_EQ(good->status, 200);
  EXPECT_TRUE(good->ok());
  EXPECT_EQ(good->content_type, "text/plain");
  EXPECT_EQ(good->body, "hello");

  const auto bad = answered("HTTP/1.1 503 Busy\r\nContent-Length: 4\r\n\r\nbusy");
  ASSERT_TRUE(bad);
  EXPECT_EQ(bad->status, 503);
  EXPECT_FALSE(bad->ok());
  EXPECT_EQ(bad->content_type, "");
  EXPECT_EQ(bad->body, "busy") << "it may say why";
}

TEST_F(HttpClientTest, SendsTheRequestAsItIs) {
  const RawServer server(io, "HTTP/1.1 204 No Content\r\n\r\n");
  HttpRequest request;
  request.method = "POST";
  request.target = "/api/v0/worker_status/?a=1&b=%20x";
  request.content_type = "application/json";
  request.body = R"({"load":1})";
  request.headers = {{"Authorization", "Bearer abc"}};
  const auto response = exchange(server, std::move(request));
  ASSERT_TRUE(response) << response.error().message;
  ASSERT_TRUE(run_until(io, [&] { return server.client_left(); }));
  EXPECT_THAT(server.received(), StartsWith("POST /api/v0/worker_status/?a=1&b=%20x HTTP/1.1\r\n"));
  EXPECT_THAT(server.received(), HasSubstr("\r\nHost: " + server.url().authority() + "\r\n"));
  EXPECT_THAT(server.received(), HasSubstr("\r\nContent-Type: application/json\r\n"));
  EXPECT_THAT(server.received(), HasSubstr("\r\nContent-Length: 10\r\n"));
  EXPECT_THAT(server.received(), HasSubstr("\r\nAuthorization: Bearer abc\r\n"));
  EXPECT_THAT(server.received(), testing::EndsWith("\r\n\r\n{\"load\":1}"));
}

TEST_F(HttpClientTest, GetsWithoutABody) {
  const RawServer server(io, "HTTP/1.1 204 No Content\r\n\r\n");
  ASSERT_TRUE(exchange(server));
  EXPECT_THAT(server.received(), StartsWith("GET / HTTP/1.1\r\n"));
  EXPECT_THAT(server.received(), AllOf(Not(HasSubstr("Content-Length")), Not(HasSubstr("Content-Type"))));
}

TEST_F(HttpClientTest, ReadsChunksAndBodiesThatEndWithTheConnection) {
  const auto chunked =
      answered("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n");
  ASSERT_TRUE(chunked) << chunked.error().message;
  EXPECT_EQ(chunked->body, "abcde");
  const auto until_end = answered("HTTP/1.0 200 OK\r\n\r\nall of it");
  ASSERT_TRUE(until_end) << until_end.error().message;
  EXPECT_EQ(until_end->body, "all of it");
}

TEST_F(HttpClientTest, DoesNotFollowRedirects) {
  const RawServer elsewhere(io, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  const auto response = answered("HTTP/1.1 302 Found\r\nLocation: " + elsewhere.url().text() +
                                 "/\r\nContent-Length: 0\r\n\r\n");
  ASSERT_TRUE(response);
  EXPECT_EQ(response->status, 302);
  EXPECT_EQ(elsewhere.received(), "") << "a report with its token went to a stranger";
}

// Half an answer that passes for a whole one: a public key, a health page cut in the middle.
TEST_F(HttpClientTest, RefusesAnAnswerThatBreaksOff) {
  for (const char* bytes : {"", "HTTP/1.1 200", "HTTP/1.1 200 OK\r\nContent-Le",
                            "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nabc"})
    EXPECT_THAT(refusal(bytes), StartsWith("cannot read the answer: ")) << bytes;
}

TEST_F(HttpClientTest, RefusesWhatIsNoHttp) {
  for (const char* bytes : {"SSH-2.0-OpenSSH_9.2\r\n", "HTTP/1.1 abc OK\r\n\r\n", "HTTP/9.9 200 OK\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"})
    EXPECT_THAT(refusal(bytes), StartsWith("cannot read the answer: ")) << bytes;
}

TEST_F(HttpClientTest, RefusesAnAnswerThatIsTooLarge) {
  const std::string body(11, 'x');
  EXPECT_THAT(refusal("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + body, 10), HasSubstr("body limit"));
  EXPECT_THAT(
      refusal("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nb\r\n" + body + "\r\n0\r\n\r\n", 10),
      HasSubstr("body limit"));
  EXPECT_THAT(refusal("HTTP/1.0 200 OK\r\n\r\n" + body, 10), HasSubstr("body limit"));
  EXPECT_TRUE(answered("HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\n" + body, 11));
  EXPECT_THAT(refusal("HTTP/1.1 200 OK\r\nX: " + std::string(100'000, 'x') + "\r\n\r\n"),
              HasSubstr("header"));
}

TEST_F(HttpClientTest, SaysThatNobodyListens) {
  Url gone;
  {
    const RawServer server(io, "");
    gone = server.url();
  }
  HttpRequest request;
  request.server = gone;
  const auto response = run_coroutine(io, http_exchange(request, kTestLimit));
  ASSERT_FALSE(response);
  EXPECT_EQ(response.error().message, "cannot connect to " + gone.authority() + ": Connection refused");
}

// Each stage alone could be within its time; together they are bounded all the same.
TEST_F(HttpClientTest, GivesUpOnAServerThatKeepsItWaiting) {
  for (const char* begun : {"", "HTTP/1.1 200 OK\r\n", "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"}) {
    const RawServer server(io, begun, RawServer::Then::kHold);
    HttpRequest request;
    request.server = server.url();
    std::optional<Result<HttpResponse>> response;
    asio::co_spawn(io, http_exchange(request, 5s),
                   [&](std::exception_ptr, Result<HttpResponse> made) { response = std::move(made); });
    ASSERT_TRUE(run_until(io, [&] { return !server.received().empty(); }));
    clock.skip(io, 4s);
    EXPECT_FALSE(response) << begun;
    clock.skip(io, 2s);
    ASSERT_TRUE(run_until(io, [&] { return response.has_value(); }));
    ASSERT_FALSE(*response);
    EXPECT_EQ(response->error().message, "no answer from " + server.url().authority() + " within 5000 ms");
    EXPECT_TRUE(run_until(io, [&] { return server.client_left(); })) << "the connection stayed open";
  }
}

}  // namespace
}  // namespace cppworker
