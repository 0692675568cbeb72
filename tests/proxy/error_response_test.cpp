#include "proxy/error_response.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cppworker {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

TEST(RefuseTest, TheTextBecomesJson) {
  Refusal refusal = refuse(401, "proxy: \"no\" \xc3\xa9");
  EXPECT_EQ(refusal.status, 401);
  EXPECT_EQ(nlohmann::json::parse(refusal.body), (nlohmann::json{{"error", "proxy: \"no\" \xc3\xa9"}}));
  EXPECT_FALSE(refusal.close);
}

TEST(RefusalResponseTest, IsAWholeResponse) {
  EXPECT_EQ(refusal_response(refuse(404, "no"), true, "id-1"),
            "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 14\r\n"
            "X-Request-Id: id-1\r\nConnection: keep-alive\r\n\r\n{\"error\":\"no\"}");
}

TEST(RefusalResponseTest, SaysWhatTheRefusalAddsAndNothingElse) {
  std::string plain = refusal_response(refuse(503, "x"), true, "");
  for (const char* name : {"Retry-After", "Allow", "X-Request-Id"}) EXPECT_THAT(plain, Not(HasSubstr(name)));
  Refusal refusal = refuse(405, "x");
  refusal.retry_after_s = 5;
  refusal.allow = "GET, HEAD";
  std::string full = refusal_response(refusal, true, "");
  EXPECT_THAT(full, HasSubstr("\r\nRetry-After: 5\r\n"));
  EXPECT_THAT(full, HasSubstr("\r\nAllow: GET, HEAD\r\n"));
}

TEST(RefusalResponseTest, ClosesWhereEitherSideWantsIt) {
  Refusal refusal = refuse(413, "x");
  EXPECT_THAT(refusal_response(refusal, false, ""), HasSubstr("\r\nConnection: close\r\n"));
  refusal.close = true;
  EXPECT_THAT(refusal_response(refusal, true, ""), HasSubstr("\r\nConnection: close\r\n"));
}

TEST(RefusalResponseTest, NeverCountsTheBodyWrong) {
  for (const char* text : {"", "\xc3\xa9", "\"\\"}) {
    Refusal refusal = refuse(422, text);
    std::string response = refusal_response(refusal, true, "");
    EXPECT_THAT(response, HasSubstr("Content-Length: " + std::to_string(refusal.body.size()) + "\r\n"));
    EXPECT_THAT(response, EndsWith("\r\n\r\n" + refusal.body));
  }
}

TEST(PingResponseTest, SaysPong) {
  EXPECT_THAT(ping_response(true), StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(ping_response(true), HasSubstr("Connection: keep-alive\r\n"));
  EXPECT_THAT(ping_response(false), HasSubstr("Connection: close\r\n"));
  EXPECT_THAT(ping_response(true), EndsWith("Content-Length: 4\r\nConnection: keep-alive\r\n\r\npong"));
}

TEST(ReasonPhraseTest, EveryStatusOfTheProtocolHasOne) {
  struct Case {
    int status;
    const char* phrase;
  };
  for (const Case& c : {Case{400, "Bad Request"},
                        {401, "Unauthorized"},
                        {404, "Not Found"},
                        {405, "Method Not Allowed"},
                        {408, "Request Timeout"},
                        {410, "Gone"},
                        {413, "Payload Too Large"},
                        {422, "Unprocessable Entity"},
                        {429, "Too Many Requests"},
                        {431, "Request Header Fields Too Large"},
                        {502, "Bad Gateway"},
                        {503, "Service Unavailable"},
                        {504, "Gateway Timeout"}})
    EXPECT_EQ(reason_phrase(c.status), c.phrase);
}

}  // namespace
}  // namespace cppworker
