#include "proxy/message_heads.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

#include "tests/proxy/written_head.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using ::testing::HasSubstr;
using ::testing::Not;

TEST(UpstreamTargetTest, DropsTheApiKeyAloneFromTheQuery) {
  EXPECT_EQ(upstream_target("/generate"), "/generate");
  EXPECT_EQ(upstream_target("/generate?api_key=secret"), "/generate");
  EXPECT_EQ(upstream_target("/p?a=1&api_key=secret&b=2"), "/p?a=1&b=2");
  EXPECT_EQ(upstream_target("/p?api_keys=1"), "/p?api_keys=1");
  EXPECT_EQ(upstream_target("/p?api_key"), "/p");
}

// It was forwarded, into the logs of the inference server, when a client spelled it otherwise.
TEST(UpstreamTargetTest, DropsTheApiKeyHoweverItIsSpelled) {
  EXPECT_EQ(upstream_target("/p?%61pi_key=secret&a=1"), "/p?a=1");
  EXPECT_EQ(upstream_target("/p?a=1&api%5Fkey=secret"), "/p?a=1");
  EXPECT_EQ(upstream_target("/p?%61%70%69%5f%6b%65%79=secret"), "/p");
}

TEST(UpstreamTargetTest, LeavesTheRestAsItCame) {
  EXPECT_EQ(upstream_target("/p?%61=1&b=%zz&c&=d"), "/p?%61=1&b=%zz&c&=d");
  EXPECT_EQ(upstream_target("/p?%zz=1&%6=2&q=%26api_key%3D1"), "/p?%zz=1&%6=2&q=%26api_key%3D1");
}

WrittenHead request() {
  WrittenHead head;
  head.method(http::verb::post);
  head.target("/generate?api_key=secret");
  head.version(11);
  head.set(http::field::host, "203.0.113.9:41234");
  head.set(http::field::content_type, "application/json");
  head.set(http::field::content_length, "999");
  return head;
}

TEST(UpstreamRequestHeadTest, HasItsOwnHostAndLengthAndNoCredentials) {
  WrittenHead head = request();
  head.set(http::field::authorization, "Bearer secret");
  head.set("traceparent", "00-1-2-01");
  std::string out = upstream_request_head(read(head), {"127.0.0.1:5001", "id-1", 17});
  EXPECT_THAT(out, ::testing::StartsWith("POST /generate HTTP/1.1\r\nHost: 127.0.0.1:5001\r\n"));
  EXPECT_THAT(out, HasSubstr("\r\nContent-Length: 17\r\n"));
  EXPECT_THAT(out, HasSubstr("\r\ntraceparent: 00-1-2-01\r\n"));
  EXPECT_THAT(out, HasSubstr("\r\nX-Request-Id: id-1\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("secret")));
  EXPECT_THAT(out, Not(HasSubstr("999")));
  EXPECT_THAT(out, ::testing::EndsWith("\r\n\r\n"));
}

// Some servers take it for Content-Length.
TEST(UpstreamRequestHeadTest, DropsNamesThatHoldAnUnderscore) {
  WrittenHead head = request();
  head.insert("Content_Length", "5");
  head.insert("X_Real", "1");
  head.insert("X-Real", "2");
  std::string out = upstream_request_head(read(head), {"127.0.0.1:5001", "id-1", 17});
  EXPECT_THAT(out, Not(HasSubstr("_")));
  EXPECT_THAT(out, HasSubstr("\r\nX-Real: 2\r\n"));
}

// Where the server refuses what the proxy added, the client would be told that it had sent too much.
TEST(UpstreamRequestHeadTest, HasNoMoreHeadersThanServersReadThoughTheClientSentAllItMay) {
  WrittenHead head;
  head.method(http::verb::post);
  head.target("/generate");
  head.version(11);
  head.set(http::field::host, "h");
  for (std::size_t i = 1; i < kMostHeaders; ++i) head.insert("X-" + std::to_string(i), "1");
  std::string out = upstream_request_head(read(head), {"127.0.0.1:5001", "id-1", 17});
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), kMostHeadersUpstream + 2)
      << "the first line, and the last";
}

TEST(UpstreamRequestHeadTest, EndsHopByHopHeadersNamedOrNot) {
  WrittenHead head = request();
  head.set(http::field::connection, "keep-alive, X-Private");
  head.set("X-Private", "hop");
  head.erase(http::field::content_length);
  head.set(http::field::transfer_encoding, "chunked");
  head.set(http::field::expect, "100-continue");
  std::string out = upstream_request_head(read(head), {"127.0.0.1:5001", "id-1", 17});
  for (const char* name : {"Connection", "X-Private", "Transfer-Encoding", "Expect"})
    EXPECT_THAT(out, Not(HasSubstr(name)));
}

TEST(ClientResponseHeadTest, KeepsTheServersStatusAndHeaders) {
  ResponseHead head;
  head.result(424);
  head.reason("Failed Dependency");
  head.set(http::field::content_encoding, "gzip");
  head.insert(http::field::set_cookie, "a=1");
  head.insert(http::field::set_cookie, "b=2");
  head.set(http::field::connection, "close");
  std::string out = client_response_head(head, Framing::kLength, 5, true, "id-1");
  EXPECT_THAT(out, ::testing::StartsWith("HTTP/1.1 424 Failed Dependency\r\n"));
  EXPECT_THAT(out, HasSubstr("Content-Encoding: gzip\r\n"));
  EXPECT_THAT(out, HasSubstr("Set-Cookie: a=1\r\nSet-Cookie: b=2\r\n"));
  EXPECT_THAT(out, HasSubstr("Content-Length: 5\r\n"));
  EXPECT_THAT(out, HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("close")));
}

TEST(ClientResponseHeadTest, MarksAnUnknownLengthByChunks) {
  ResponseHead head;
  head.result(200);
  std::string out = client_response_head(head, Framing::kChunked, std::nullopt, true, "id-1");
  EXPECT_THAT(out, HasSubstr("Transfer-Encoding: chunked\r\n"));
  EXPECT_THAT(out, Not(HasSubstr("Content-Length")));
}

TEST(RequestIdTest, RepeatsOnlyWhatIsFit) {
  WrittenHead head = request();
  EXPECT_EQ(request_id_of(read(head)).size(), 32u);
  EXPECT_NE(request_id_of(read(head)), request_id_of(read(head)));
  head.set("X-Request-Id", "abc-123");
  EXPECT_EQ(request_id_of(read(head)), "abc-123");
  head.set("X-Request-Id", std::string(129, 'x'));
  EXPECT_EQ(request_id_of(read(head)).size(), 32u);
  head.set("X-Request-Id", "a b");
  EXPECT_EQ(request_id_of(read(head)).size(), 32u);
}

}  // namespace
}  // namespace cppworker
