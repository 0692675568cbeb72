#include "common/url.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

TEST(Url, TakesSchemeHostPortAndPathApart) {
  auto url = parse_url("https://run.example.com/api/v0/");
  ASSERT_TRUE(url);
  EXPECT_TRUE(url->tls);
  EXPECT_EQ(url->host, "run.example.com");
  EXPECT_EQ(url->port, 443);
  EXPECT_EQ(url->path, "/api/v0");
  EXPECT_EQ(url->text(), "https://run.example.com:443/api/v0");

  url = parse_url("http://127.0.0.1:5001");
  ASSERT_TRUE(url);
  EXPECT_FALSE(url->tls);
  EXPECT_EQ(url->port, 5001);
  EXPECT_EQ(url->path, "");
  EXPECT_EQ(url->authority(), "127.0.0.1:5001");
}

TEST(Url, Ipv6AddressesStandInBrackets) {
  auto url = parse_url("http://[::1]:8080/x");
  ASSERT_TRUE(url);
  EXPECT_EQ(url->host, "::1");
  EXPECT_EQ(url->authority(), "[::1]:8080");
  EXPECT_FALSE(parse_url("http://[::1"));
}

TEST(Url, RefusesWhatItCannotCarry) {
  for (const char* text : {"", "run.example.com", "ftp://x", "http://", "http:///path", "http://h:0",
                           "http://h:65536", "http://h:80x", "http://user:secret@h/", "http://h/?q=1",
                           "http://h/#f", "http://a b/", "http://h\n/", "http://h\xc3\xb6/"})
    EXPECT_FALSE(parse_url(text)) << text;
}

TEST(Url, KnowsThisMachinesOwnAddresses) {
  for (const char* text :
       {"http://localhost", "http://127.0.0.1:5001", "http://127.1.2.3", "http://[::1]:80"})
    EXPECT_TRUE(parse_url(text)->on_loopback()) << text;
  for (const char* text :
       {"http://127.example", "http://127.0.0.1.example", "http://10.0.0.1", "http://[::2]"})
    EXPECT_FALSE(parse_url(text)->on_loopback()) << text;
}

TEST(Url, MessagesNeverRepeatThePassword) {
  auto url = parse_url("http://user:secret@h/");
  ASSERT_FALSE(url);
  EXPECT_EQ(url.error().message.find("secret"), std::string::npos);
}

}  // namespace
}  // namespace cppworker
