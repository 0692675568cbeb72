// The stand-ins themselves: what other tests build on must be true first.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>
#include <sys/stat.h>

#include <filesystem>
#include <fstream>
#include <future>
#include <boost/asio.hpp>

#include "tests/stand_ins/png.hpp"
#include "tests/stand_ins/program.hpp"
#include "tests/stand_ins/request_log.hpp"
#include "tests/stand_ins/wire.hpp"

namespace cppworker::stand_ins {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kServer = std::string(CPPWORKER_BIN_DIR) + "/stand_in_server";

std::unique_ptr<Program> tgi(Program::Environment knobs = {}) {
  return std::make_unique<Program>(std::vector<std::string>{kServer, "tgi", "--port", "0", "--json-output"},
                                   knobs);
}

TEST(Tgi, OpensItsPortOnlyAfterTheGateAndTheReadyLine) {
  const std::string gate = temporary_folder() + "/gate";
  ASSERT_EQ(::mkfifo(gate.c_str(), 0600), 0);
  auto server = tgi({{"STAND_IN_READY_GATE", gate}});
  EXPECT_THAT(server->wait_for_line("Starting shard"), HasSubstr(R"("fields":{"message":"Starting shard"})"));
  EXPECT_THAT(server->output(), Not(HasSubstr("listening on")));
  std::ofstream(gate) << "x";
  EXPECT_THAT(server->wait_for_line("Connected"),
              HasSubstr(R"("message":"Connected","target":"text_generation_router)"));
  EXPECT_THAT(get(server->wait_for_port(), "/health").text, StartsWith("HTTP/1.1 200 OK\r\n"));
}

TEST(Tgi, AnswersWithTheHashOfTheBytesItGotAndListsTheRequest) {
  auto server = tgi({{"STAND_IN_EVENTS", "2"}});
  const std::uint16_t port = server->wait_for_port();
  const std::string body = "{ \"inputs\" : \"hi\",\"parameters\":{} }";
  const Reply reply = post(port, "/generate", body);
  EXPECT_EQ(reply.parsed()["generated_text"], " token1 token2");
  EXPECT_THAT(reply.text, HasSubstr("x-stand-in-body-sha256: " + sha256_hex(body)));
  const json seen = get(port, "/stand_in/requests?path=/generate&finished=1").parsed();
  ASSERT_EQ(seen["requests"].size(), 1u);
  EXPECT_EQ(seen["requests"][0]["body"], body);
  EXPECT_EQ(seen["requests"][0]["outcome"], "answered");
  EXPECT_EQ(seen["requests"][0]["headers"]["content-type"], "application/json");
}

TEST(Tgi, HashesAsSha256Does) {
  EXPECT_EQ(sha256_hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(Tgi, StreamsAnEventPerTokenWithTheTimeOfSendingAndTheTextInTheLast) {
  auto server = tgi({{"STAND_IN_EVENTS", "3"}, {"STAND_IN_EVENT_INTERVAL_MS", "1"}});
  const Reply reply = post(server->wait_for_port(), "/generate_stream", R"({"inputs":"hi"})");
  std::vector<json> events;
  for (std::size_t at = 0; (at = reply.text.find("data: ", at)) != std::string::npos; ++at) {
    events.push_back(json::parse(reply.text.substr(at + 6, reply.text.find('\n', at) - at - 6)));
  }
  ASSERT_EQ(events.size(), 3u);
  EXPECT_LT(events[0]["sent_ns"].get<std::int64_t>(), events[2]["sent_ns"].get<std::int64_t>());
  EXPECT_TRUE(events[1]["generated_text"].is_null());
  EXPECT_EQ(events[2]["generated_text"], " token1 token2 token3");
  EXPECT_THAT(reply.text, ::testing::EndsWith("\r\n0\r\n\r\n"));
}

TEST(Tgi, FailsAsItIsAskedTo) {
  auto server = tgi({{"STAND_IN_EVENT_INTERVAL_MS", "1"}});
  const std::uint16_t port = server->wait_for_port();
  for (const std::string status : {"422", "424", "429", "500", "503"}) {
    const Reply reply = post(port, "/generate", R"({"inputs":"error:)" + status + R"( x"})");
    EXPECT_THAT(reply.text, StartsWith("HTTP/1.1 " + status + " "));
    EXPECT_TRUE(reply.parsed().contains("error_type"));
  }
  const Reply event = post(port, "/generate_stream", R"({"inputs":"error:event"})");
  EXPECT_THAT(event.text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(event.text, HasSubstr(R"("error_type":"generation"})"));
  for (const std::string path : {"/generate", "/generate_stream"}) {
    const Reply broken = post(port, path, R"({"inputs":"error:break"})");
    EXPECT_THAT(broken.text, StartsWith("HTTP/1.1 200 OK\r\n"));
    EXPECT_TRUE(broken.reset) << path;
  }
}

TEST(Tgi, RefusesAtOnceWhenItsPermitsAreOut) {
  auto server = tgi({{"STAND_IN_PERMITS", "1"}});
  const std::uint16_t port = server->wait_for_port();
  auto held =
      std::async(std::launch::async, [port] { return post(port, "/generate", R"({"inputs":"hold"})"); });
  get(port, "/stand_in/requests?held=1");
  EXPECT_THAT(post(port, "/generate", R"({"inputs":"second"})").text, StartsWith("HTTP/1.1 429 "));
  EXPECT_EQ(post(port, "/stand_in/release", "").parsed()["released"], 1);
  EXPECT_THAT(held.get().text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(server->wait_for_line("no permits available"), HasSubstr(R"("level":"ERROR")"));
}

TEST(Tgi, DropsARequestWhoseClientLeaves) {
  auto server = tgi();
  const std::uint16_t port = server->wait_for_port();
  asio::io_context io;
  { asio::ip::tcp::socket leaving = send(io, port, post_text("/generate", R"({"inputs":"hold"})")); }
  const json seen = get(port, "/stand_in/requests?path=/generate&finished=1").parsed();
  ASSERT_EQ(seen["requests"].size(), 1u);
  EXPECT_EQ(seen["requests"][0]["outcome"], "gone");
}

TEST(Tgi, AnswersWhatIsInFlightWhenItIsTerminated) {
  auto server = tgi({{"STAND_IN_SHARDS", "2"}});
  const std::uint16_t port = server->wait_for_port();
  asio::io_context io;
  asio::ip::tcp::socket client = send(io, port, post_text("/generate", R"({"inputs":"sleep:200"})"));
  const json state = get(port, "/stand_in/requests?received=1").parsed();
  server->signal(SIGTERM);
  EXPECT_THAT(read_all(client).text, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_EQ(server->wait_for_exit(), 0);
  ASSERT_EQ(state["shards"].size(), 2u);
  for (const json& shard : state["shards"]) EXPECT_NE(::kill(shard.get<pid_t>(), 0), 0);
}

TEST(Tgi, LeavesItsShardsBehindWhenItIsKilled) {
  auto server = tgi({{"STAND_IN_SHARDS", "1"}});
  const json state = get(server->wait_for_port(), "/stand_in/requests").parsed();
  server->signal(SIGKILL);
  EXPECT_EQ(server->wait_for_exit(), -SIGKILL);
  const pid_t shard = state["shards"][0].get<pid_t>();
  EXPECT_EQ(::getpgid(shard), shard);  // alive, in a group of its own
  EXPECT_EQ(::kill(shard, SIGKILL), 0);
}

TEST(Tgi, CrashesWhereAndHowItIsTold) {
  const std::map<std::string, int> ends{{"exit1", 1}, {"segv", -SIGSEGV}, {"kill", -SIGKILL}};
  for (const auto& [kind, end] : ends) {
    auto server = tgi({{"STAND_IN_CRASH_PHASE", "warmup"}, {"STAND_IN_CRASH_KIND", kind}});
    EXPECT_EQ(server->wait_for_line("Connected"), "");
    EXPECT_THAT(server->output(), HasSubstr("Warming up model"));
    EXPECT_EQ(server->wait_for_exit(), end) << kind;
  }
}

TEST(Tgi, CrashesOnlyOnceWithAOnceFile) {
  const std::string once = temporary_folder() + "/once";
  const Program::Environment knobs{{"STAND_IN_CRASH_PHASE", "load"}, {"STAND_IN_ONCE_FILE", once}};
  EXPECT_EQ(tgi(knobs)->wait_for_exit(), 1);
  EXPECT_NE(tgi(knobs)->wait_for_port(), 0);
}

TEST(Tgi, SaysThatItIsReadyAndThenFailsToBind) {
  auto server = tgi({{"STAND_IN_BIND_FAIL_AFTER_READY", "1"}});
  EXPECT_NE(server->wait_for_line("\"Connected\""), "");
  EXPECT_EQ(server->wait_for_line("Error: "), "Error: WebserverFailed");
  EXPECT_EQ(server->wait_for_exit(), 1);
}

TEST(Sdauto, WorksOnOnePictureAtATimeAndAnswersWithAPng) {
  Program server({kServer, "sdauto", "--api", "--api-log", "--port", "0"}, {{"PYTHONUNBUFFERED", "1"}});
  const std::uint16_t port = server.wait_for_port();
  auto first = std::async(std::launch::async,
                          [port] { return post(port, "/sdapi/v1/txt2img", R"({"prompt":"hold"})"); });
  get(port, "/stand_in/requests?held=1");
  auto second =
      std::async(std::launch::async, [port] { return post(port, "/sdapi/v1/txt2img", R"({"seed":7})"); });
  get(port, "/stand_in/requests?path=/sdapi/v1/txt2img&received=2");
  EXPECT_EQ(get(port, "/sdapi/v1/progress").parsed()["state"]["job_count"], 1);
  post(port, "/stand_in/release", "");
  const json answer = second.get().parsed();
  EXPECT_EQ(answer["images"][0], base64(make_png(7)));
  EXPECT_EQ(json::parse(answer["info"].get<std::string>())["seed"], 7);
  first.get();
  EXPECT_EQ(get(port, "/stand_in/requests").parsed()["peak_concurrency"], 2);
}

TEST(Sdauto, MakesPicturesThatAreValidPng) {
  const std::string png = make_png(0xff0000);
  EXPECT_THAT(png, StartsWith("\x89PNG\r\n\x1a\n"));
  // The last chunk is the same in every PNG, its checksum included.
  EXPECT_THAT(png, ::testing::EndsWith(std::string("\0\0\0\0IEND\xae\x42\x60\x82", 12)));
}

TEST(Sdauto, HasNoApiUnlessItIsAskedFor) {
  Program server({kServer, "sdauto", "--port", "0"}, {{"WEBUI_ARGS", ""}});
  EXPECT_THAT(post(server.wait_for_port(), "/sdapi/v1/txt2img", "{}").text, StartsWith("HTTP/1.1 404 "));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait_for_exit(), -SIGTERM);  // the web UI has no handler
}

TEST(Ooba, SendsTheStatusFirstAndEndsTheBodyWithTheConnection) {
  Program server({kServer, "ooba", "--port", "0"}, {{"STAND_IN_EVENTS", "1"}});
  const std::uint16_t port = server.wait_for_port();
  asio::io_context io;
  asio::ip::tcp::socket client = send(io, port, post_text("/api/v1/generate", R"({"prompt":"hold"})"));
  std::string head;
  asio::read_until(client, asio::dynamic_buffer(head), "\r\n\r\n");
  EXPECT_THAT(head, StartsWith("HTTP/1.0 200 OK\r\n"));
  EXPECT_THAT(head, Not(HasSubstr("Content-Length")));
  post(port, "/stand_in/release", "");
  EXPECT_EQ(read_all(client).text, R"({"results": [{"text": " token1"}]})");
}

TEST(Ooba, DropsTheConnectionWithoutAContentLength) {
  Program server({kServer, "ooba", "--port", "0"}, {});
  asio::io_context io;
  asio::ip::tcp::socket client =
      send(io, server.wait_for_port(),
           "POST /api/v1/generate HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
           "f\r\n{\"prompt\":\"hi\"}\r\n0\r\n\r\n");
  EXPECT_EQ(read_all(client).text, "");
}

}  // namespace
}  // namespace cppworker::stand_ins
