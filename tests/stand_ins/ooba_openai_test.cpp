// The newer ooba, as an OpenAI-compatible server.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>
#include <boost/asio.hpp>

#include "tests/stand_ins/program.hpp"
#include "tests/stand_ins/wire.hpp"

namespace cppworker::stand_ins {
namespace {

using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

class OobaOpenaiTest : public ::testing::Test {
 protected:
  // Only for hosts that are this machine, unless it is told otherwise.
  static std::string asking(const std::string& path, const std::string& body,
                            const std::string& host = "127.0.0.1") {
    return "POST " + path + " HTTP/1.1\r\nHost: " + host +
           "\r\nContent-Type: application/json\r\nConnection: close\r\nContent-Length: " +
           std::to_string(body.size()) + "\r\n\r\n" + body;
  }
  Reply ask(const std::string& path, const std::string& body, const std::string& host = "127.0.0.1") {
    asio::ip::tcp::socket client = send(io_, port_, asking(path, body, host));
    return read_all(client);
  }

  asio::io_context io_;
  Program server_{
      {std::string(CPPWORKER_BIN_DIR) + "/stand_in_server", "ooba", "--api", "--api-port", "0", "--model",
       "a-model"},
      {{"STAND_IN_EVENTS", "2"}, {"STAND_IN_EVENT_INTERVAL_MS", "1"}, {"STAND_IN_KEEP_ALIVE_MS", "20"}}};
  std::uint16_t port_ = server_.wait_for_port();
};

TEST_F(OobaOpenaiTest, SaysThatItIsReadyInItsNewWords) {
  EXPECT_THAT(server_.output(), HasSubstr("INFO     Loaded \"a-model\" in "));
  EXPECT_NE(server_.wait_for_line("OpenAI-compatible API URL:"), "");
}

TEST_F(OobaOpenaiTest, CompletesTextAndChat) {
  EXPECT_EQ(ask("/v1/completions", R"({"prompt":"hi"})").parsed()["choices"][0]["text"], " token1 token2");
  const auto chat =
      ask("/v1/chat/completions", R"({"messages":[{"role":"user","content":"hi"}],"max_tokens":1})");
  EXPECT_EQ(chat.parsed()["choices"][0]["message"]["content"], " token1");
  EXPECT_THAT(ask("/v1/completions", "{}").text, StartsWith("HTTP/1.1 422 "));
}

TEST_F(OobaOpenaiTest, StreamsWithCarriageReturnsAndWithoutDone) {
  const Reply reply = ask("/v1/completions", R"({"prompt":"hi","stream":true})");
  EXPECT_THAT(reply.text, HasSubstr(R"([{"index":0,"text":" token2"}]})"
                                    "\r\n\r\n"));
  EXPECT_THAT(reply.text, Not(HasSubstr("[DONE]")));
  EXPECT_THAT(reply.text, EndsWith("\r\n0\r\n\r\n"));
}

TEST_F(OobaOpenaiTest, PingsWhileAStreamIsSilent) {
  asio::ip::tcp::socket client =
      send(io_, port_, asking("/v1/completions", R"({"prompt":"hold","stream":true})"));
  std::string received;
  asio::read_until(client, asio::dynamic_buffer(received), ": ping - ");
  post(port_, "/stand_in/release", "");
  EXPECT_THAT(read_all(client).text, HasSubstr(" token2"));
}

TEST_F(OobaOpenaiTest, TakesOnlyItsOwnMachinesName) {
  const Reply refused = ask("/v1/completions", R"({"prompt":"hi"})", "203.0.113.9");
  EXPECT_THAT(refused.text, StartsWith("HTTP/1.1 400 "));
  EXPECT_EQ(refused.body(), R"({"detail":"Invalid host header"})");
  EXPECT_THAT(ask("/v1/completions", R"({"prompt":"hi"})", "localhost:5000").text,
              StartsWith("HTTP/1.1 200 "));
}

}  // namespace
}  // namespace cppworker::stand_ins
