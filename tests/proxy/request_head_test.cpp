#include "proxy/request_head.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "proxy/request_head_check.hpp"

namespace cppworker {
namespace {

using ::testing::ElementsAre;
using ::testing::Optional;

RequestHead read(const std::string& headers, const std::string& version = "1.1") {
  RequestHeadResult head =
      read_request_head("POST /a?b HTTP/" + version + "\r\nHost: h\r\n" + headers + "\r\n");
  EXPECT_TRUE(head) << headers;
  return head ? *std::move(head) : RequestHead();
}

TEST(RequestHeadTest, KeepsTheRequestLine) {
  RequestHead head = read("");
  EXPECT_EQ(head.method(), "POST");
  EXPECT_TRUE(head.is_post());
  EXPECT_FALSE(head.is_get() || head.is_head());
  EXPECT_EQ(head.target(), "/a?b");
  EXPECT_FALSE(head.is_http_1_0());
  EXPECT_TRUE(read("", "1.0").is_http_1_0());
}

TEST(RequestHeadTest, HasATargetFromItsPathOn) {
  auto target = [](const std::string& written) {
    RequestHeadResult head = read_request_head("GET " + written + " HTTP/1.1\r\nHost: h:3000\r\n\r\n");
    return head ? std::string(head->target()) : std::string(head.error().text);
  };
  EXPECT_EQ(target("http://h:3000/a?b=http://c/"), "/a?b=http://c/");
  EXPECT_EQ(target("https://h:3000"), "/");
  EXPECT_EQ(target("/http://h:3000/"), "/http://h:3000/");
}

TEST(RequestHeadTest, KeepsEachLineInOrderWithItsSpelling) {
  std::vector<std::string> lines;
  read("X-A:  1 \r\nx-a: 2\r\nX-Empty:\r\n").for_each([&](const Header& header) {
    lines.push_back(std::string(header.name) + "=" + std::string(header.value));
  });
  EXPECT_THAT(lines, ElementsAre("Host=h", "X-A=1", "x-a=2", "X-Empty="));
}

// Views are made from the head at hand: the text may have moved with it.
TEST(RequestHeadTest, CanBeMoved) {
  RequestHead first = read("X-Request-Id: abc\r\n");
  RequestHead second = std::move(first);
  first = RequestHead();
  EXPECT_EQ(second.target(), "/a?b");
  EXPECT_THAT(second.only(HeaderName::kXRequestId), Optional(std::string_view("abc")));
}

TEST(RequestHeadTest, KnowsNamesInAnyCase) {
  EXPECT_EQ(header_name("transfer-encoding"), HeaderName::kTransferEncoding);
  EXPECT_EQ(header_name("TRANSFER-ENCODING"), HeaderName::kTransferEncoding);
  EXPECT_EQ(header_name("Te"), HeaderName::kTe);
  EXPECT_EQ(header_name("Host"), HeaderName::kHost);
  EXPECT_EQ(header_name("Hose"), HeaderName::kOther);
  EXPECT_EQ(header_name("(ost"), HeaderName::kOther);
  EXPECT_EQ(header_name("Content_Length"), HeaderName::kOther);
  EXPECT_EQ(header_name(""), HeaderName::kOther);
  EXPECT_EQ(header_name(std::string(300, 'x')), HeaderName::kOther);
}

TEST(RequestHeadTest, TellsAHeaderThatCameOnceFromOneThatCameTwice) {
  EXPECT_EQ(read("").only(HeaderName::kAuthorization), std::nullopt);
  EXPECT_THAT(read("Authorization: a\r\n").only(HeaderName::kAuthorization), Optional(std::string_view("a")));
  RequestHead twice = read("Authorization: a\r\nauthorization: a\r\n");
  EXPECT_EQ(twice.only(HeaderName::kAuthorization), std::nullopt);
  EXPECT_TRUE(twice.has(HeaderName::kAuthorization));
}

TEST(RequestHeadTest, SaysHowLongTheBodyIs) {
  EXPECT_EQ(read("").content_length(), std::nullopt);
  EXPECT_THAT(read("Content-Length: 0\r\n").content_length(), Optional(0u));
  EXPECT_THAT(read("content-length: 007\r\n").content_length(), Optional(7u));
  EXPECT_THAT(read("Content-Length: 999999999999999999\r\n").content_length(), Optional(999999999999999999u));
  EXPECT_TRUE(read("Transfer-Encoding: chunked\r\n").is_chunked());
}

TEST(RequestHeadTest, KeepsTheConnectionAsItsVersionHasIt) {
  EXPECT_TRUE(read("").keep_alive());
  EXPECT_FALSE(read("Connection: Close\r\n").keep_alive());
  EXPECT_FALSE(read("Connection: x, close\r\n").keep_alive());
  EXPECT_FALSE(read("Connection: keep-alive\r\nConnection: close\r\n").keep_alive());
  EXPECT_TRUE(read("Connection: closed\r\n").keep_alive());
  EXPECT_FALSE(read("", "1.0").keep_alive());
  EXPECT_TRUE(read("Connection: Keep-Alive\r\n", "1.0").keep_alive());
  EXPECT_FALSE(read("Connection: keep-alive, close\r\n", "1.0").keep_alive());
}

}  // namespace
}  // namespace cppworker
