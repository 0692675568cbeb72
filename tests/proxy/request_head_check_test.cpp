#include "proxy/request_head_check.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <string>

namespace cppworker {
namespace {

int status_of(const std::string& head) {
  RequestHeadResult read = read_request_head(head);
  return read ? 200 : read.error().status;
}
std::string with(const std::string& headers) {
  return "POST /generate HTTP/1.1\r\nHost: h:3000\r\n" + headers + "\r\n";
}

TEST(RequestHeadCheckTest, LetsOrdinaryHeadsPass) {
  for (const std::string headers :
       {"", "Content-Length: 12\r\n", "content-length:12\r\n", "Transfer-Encoding: chunked\r\n",
        "Transfer-Encoding:\tChunked \r\n", "Expect: 100-continue\r\n", "X-Empty:\r\n", "X-A: b\tc d\r\n",
        "X-Utf8: \xc3\xa4\r\n", "Cookie: a=b; c=\"d\"\r\n"})
    EXPECT_EQ(status_of(with(headers)), 200) << headers;
  EXPECT_EQ(status_of("GET /a?b=c%20d&e=f HTTP/1.1\r\nHost: [::1]:3000\r\n\r\n"), 200);
  EXPECT_EQ(status_of("GET / HTTP/1.0\r\n\r\n"), 200) << "HTTP/1.0 has no Host";
}

TEST(RequestHeadCheckTest, RefusesWhatTwoParsersReadDifferently) {
  for (const std::string headers :
       {"Content-Length: 1\r\nContent-Length: 1\r\n", "Content-Length: 1\r\nContent-Length: 2\r\n",
        "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n",
        "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n", "Content-Length: +1\r\n",
        "Content-Length: 1, 1\r\n", "Content-Length: 0x1\r\n", "Content-Length:\r\n",
        "Content-Length: 9999999999999999999\r\n", "Content-Length : 1\r\n", "X-A: b\r\n folded\r\n",
        "X-A: b\nX-B: c\r\n", "X-A: b\rc\r\n", "X-A: \x01\r\n", "X A: b\r\n", ": b\r\n", "no colon\r\n",
        "Host: other\r\n"})
    EXPECT_EQ(status_of(with(headers)), 400) << headers;
  std::string nul = with("X-A: b\r\n");
  nul[nul.find('b')] = '\0';
  EXPECT_EQ(status_of(nul), 400);
  EXPECT_EQ(status_of(with("") + "GET / HTTP/1.1\r\nHost: h\r\n\r\n"), 400) << "two heads are none";
}

TEST(RequestHeadCheckTest, RefusesCodingsItDoesNotKnow) {
  for (const std::string coding : {"xchunked", "gzip, chunked", "chunked, chunked", "identity", ""})
    EXPECT_EQ(status_of(with("Transfer-Encoding: " + coding + "\r\n")), 501) << coding;
  EXPECT_EQ(status_of("POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n"), 400);
  EXPECT_EQ(status_of(with("Expect: tea\r\n")), 417);
}

TEST(RequestHeadCheckTest, RefusesOddRequestLines) {
  const std::string rest = "\r\nHost: h\r\n\r\n";
  for (const std::string line :
       {"GET  / HTTP/1.1", "GET / HTTP/1.1 ", " GET / HTTP/1.1", "GET /\tx HTTP/1.1", "GET / x HTTP/1.1",
        "GET /", "GET ftp://h/ HTTP/1.1", "OPTIONS * HTTP/1.1", "GET h/ HTTP/1.1", "GET http:/h/ HTTP/1.1",
        "GET http:///a HTTP/1.1", "GET http://h?a HTTP/1.1", "GET http://user@h/ HTTP/1.1",
        "GET h:80 HTTP/1.1", "GET http HTTP/1.1",

        "G(T / HTTP/1.1", "GET /#a HTTP/1.1", "GET / http/1.1"})
    EXPECT_EQ(status_of(line + rest), 400) << line;
  EXPECT_EQ(status_of("GET / HTTP/2.0" + rest), 505);
  EXPECT_EQ(status_of("GET / HTTP/1.2" + rest), 505);
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\n\r\n"), 400) << "no Host";
  EXPECT_EQ(status_of("GET / HTTP/1.1\r\nHost: a/b\r\n\r\n"), 400);
}

// RFC 9112 section 3.2.2: a server must take it. Clients send it to what they take for a proxy.
TEST(RequestHeadCheckTest, TakesATargetWithItsHostWhereThatIsTheHost) {
  auto status = [](const std::string& target, const std::string& host) {
    return status_of("GET " + target + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n");
  };
  EXPECT_EQ(status("http://h:3000/a?b=c", "h:3000"), 200);
  EXPECT_EQ(status("HTTPS://Worker.Example/", "worker.example"), 200);
  EXPECT_EQ(status("http://h", "h"), 200);
  EXPECT_EQ(status("http://[::1]:3000/a", "[::1]:3000"), 200);
  EXPECT_EQ(status("http://h:3000/a", "h"), 400);
  EXPECT_EQ(status("http://other/a", "h"), 400);
  EXPECT_EQ(status_of("GET http://h/a HTTP/1.1\r\n\r\n"), 400) << "no Host";
}

TEST(RequestHeadCheckTest, CountsHeaders) {
  std::string headers;
  for (std::size_t i = 1; i < kMostHeaders; ++i) headers += "X-" + std::to_string(i) + ": 1\r\n";
  EXPECT_EQ(status_of(with(headers)), 200);
  EXPECT_EQ(status_of(with(headers + "X-More: 1\r\n")), 431);
}

TEST(RequestHeadCheckTest, TellsEarlyWhatWillNeverBeAHead) {
  EXPECT_TRUE(check_unfinished_head("\x16\x03\x01"));        // TLS
  EXPECT_TRUE(check_unfinished_head("GET / HTTP/1.1\nHo"));  // bare LF
  EXPECT_TRUE(check_unfinished_head("GET nowhere HTTP/1.1\r\nHo"));
  EXPECT_FALSE(check_unfinished_head(""));
  EXPECT_FALSE(check_unfinished_head("GE"));
  EXPECT_FALSE(check_unfinished_head("\r"));  // an empty line before it, of which one byte has come
  EXPECT_TRUE(check_unfinished_head("\rG"));
  EXPECT_FALSE(check_unfinished_head("GET / HTTP/1.1\r\nHost: h\r"));
}

TEST(RequestHeadCheckTest, TellsTheSameWhereverTheHeadIsCut) {
  for (std::string_view head :
       {"GET / HTTP/1.1\r\nHost: h\r\nA: b\r\n", "GET / HTTP/1.1\r\nA: b\nC", "GET /\r\n",
        "GET / HTTP/1.1\r\nA\rB: c\r\n", "\rG", "GET / HTTP/1.1\r\n\nA: b\r\n"}) {
    HeadProgress progress;
    std::optional<HeadProblem> problem;
    for (std::size_t size = 0; size <= head.size() && !problem; ++size) {
      problem = check_unfinished_head(head.substr(0, size), progress);
      EXPECT_EQ(problem.has_value(), check_unfinished_head(head.substr(0, size)).has_value())
          << head.substr(0, size);
    }
  }
}

// One head of 16 KiB that came byte by byte was 130 MB of reading, for anybody who asked.
TEST(RequestHeadCheckTest, LooksAtEachByteOfAHeadOnce) {
  std::string head = "GET / HTTP/1.1\r\nHost: h\r\nX: half";
  HeadProgress progress;
  EXPECT_FALSE(check_unfinished_head(head, progress));
  EXPECT_EQ(progress.line, head.find("X: "));
  EXPECT_EQ(progress.seen, head.size());
  // What was looked at may be anything now.
  std::fill(head.begin(), head.end(), '\n');
  EXPECT_FALSE(check_unfinished_head(head, progress));
  EXPECT_FALSE(check_unfinished_head(head + " and the rest", progress));
}

}  // namespace
}  // namespace cppworker
