// The knobs by which the stand-ins misbehave as the real servers do.

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <chrono>
#include <future>
#include <boost/asio.hpp>
#include <boost/beast/zlib/inflate_stream.hpp>

#include "tests/stand_ins/deflate.hpp"
#include "tests/stand_ins/program.hpp"
#include "tests/stand_ins/wire.hpp"

namespace cppworker::stand_ins {
namespace {

using nlohmann::json;
using std::chrono::steady_clock;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::StartsWith;

const std::string kServer = std::string(CPPWORKER_BIN_DIR) + "/stand_in_server";

std::unique_ptr<Program> start(const std::string& personality, Program::Environment knobs) {
  std::vector<std::string> argv{kServer, personality, "--port", "0"};
  if (personality == "tgi") argv.push_back("--json-output");
  if (personality == "sdauto") argv.push_back("--api");
  return std::make_unique<Program>(argv, knobs);
}

class EachPersonality : public ::testing::TestWithParam<const char*> {
 protected:
  // What each prints when its model is loaded.
  std::string ready_line() const {
    const std::string who = GetParam();
    return who == "tgi" ? "\"Connected\"" : who == "sdauto" ? "Model loaded in" : "Loaded the model";
  }
};

TEST_P(EachPersonality, AnswersUnavailableWithJsonWhileItLoads) {
  auto server = start(GetParam(), {{"STAND_IN_LOADING_503", "1"}, {"STAND_IN_LOAD_MS", "60000"}});
  const Reply reply = get(server->wait_for_port(), "/health");
  EXPECT_THAT(reply.text, StartsWith("HTTP/1.1 503 "));
  EXPECT_EQ(reply.parsed()["error"]["message"], "Loading model");
}

TEST_P(EachPersonality, AnswersEveryPostWithAnErrorOnceThatStays) {
  auto server = start(GetParam(), {});
  const std::uint16_t port = server->wait_for_port();
  ASSERT_EQ(post(port, "/stand_in/crash", "sticky").parsed(), json::object());
  for (const char* path : {"/generate", "/sdapi/v1/txt2img"})
    EXPECT_THAT(post(port, path, "{}").text, StartsWith("HTTP/1.1 500 "));
  EXPECT_THAT(get(port, "/health").text, Not(StartsWith("HTTP/1.1 500 ")));
}

TEST_P(EachPersonality, HangsWithALogThatGoesOn) {
  auto server = start(GetParam(), {{"STAND_IN_HANG_PHASE", "load"}, {"STAND_IN_HANG_LOG_MS", "5"}});
  EXPECT_NE(server->wait_for_line("Waiting for the shard to be ready... 3"), "");
  EXPECT_THAT(server->output(), Not(HasSubstr(ready_line())));
}

TEST_P(EachPersonality, ShowsTheBarsOfADownload) {
  auto server = start(GetParam(), {{"STAND_IN_DOWNLOAD_MS", "20"}, {"STAND_IN_WARMUP_MS", "5"}});
  EXPECT_THAT(server->wait_for_line("100%|"), HasSubstr("\rmodel.safetensors: 90%|"));
  EXPECT_NE(server->wait_for_port(), 0);
}

INSTANTIATE_TEST_SUITE_P(StandIns, EachPersonality, ::testing::Values("tgi", "sdauto", "ooba"),
                         [](const auto& info) { return info.param; });

// The web UI opens its port before its weights are loaded; the two others say first that they are.
TEST(BindGap, LiesBetweenTheReadyLineAndThePort) {
  const std::pair<const char*, const char*> cases[] = {{"tgi", "\"Connected\""},
                                                       {"ooba", "Loaded the model"}};
  for (const auto& [personality, ready] : cases) {
    auto server = start(personality, {{"STAND_IN_BIND_GAP_MS", "200"}, {"PYTHONUNBUFFERED", "1"}});
    ASSERT_NE(server->wait_for_line(ready), "");
    const auto said = steady_clock::now();
    EXPECT_THAT(server->output(), Not(HasSubstr("listening on")));
    EXPECT_NE(server->wait_for_port(), 0);
    EXPECT_GT(steady_clock::now() - said, std::chrono::milliseconds(100));
  }
}

TEST(Tgi, EndsAnAnswerInTheMiddleWithoutAReset) {
  auto server = start("tgi", {});
  const std::uint16_t port = server->wait_for_port();
  const Reply half = post(port, "/generate", R"({"inputs":"error:cut"})");
  EXPECT_FALSE(half.reset);
  EXPECT_THAT(half.text, HasSubstr("content-length: 1000\r\n"));
  EXPECT_THAT(half.text, EndsWith("half"));
  const Reply stream = post(port, "/generate_stream", R"({"inputs":"error:cut"})");
  EXPECT_FALSE(stream.reset);
  EXPECT_THAT(stream.text, Not(EndsWith("\r\n0\r\n\r\n")));
}

TEST(Tgi, SendsAnAnswerDropByDrop) {
  auto server = start("tgi", {{"STAND_IN_EVENTS", "1"}});
  const auto began = steady_clock::now();
  const Reply reply = post(server->wait_for_port(), "/generate", R"({"inputs":"drip:200"})");
  EXPECT_GE(steady_clock::now() - began, std::chrono::milliseconds(150));
  EXPECT_EQ(reply.parsed()["generated_text"], " token1");
}

TEST(Ooba, EndsAnAnswerInTheMiddleWithoutAReset) {
  auto server = start("ooba", {});
  const Reply half = post(server->wait_for_port(), "/api/v1/generate", R"({"prompt":"error:cut"})");
  EXPECT_FALSE(half.reset);
  EXPECT_THAT(half.text, HasSubstr("{\"results\""));
  EXPECT_THAT(half.text, Not(EndsWith("}]}")));
}

TEST(Ooba, StopsWhatItGeneratesWhenItIsTold) {
  auto server = start("ooba", {});
  const std::uint16_t port = server->wait_for_port();
  auto held = std::async(std::launch::async,
                         [port] { return post(port, "/api/v1/generate", R"({"prompt":"hold"})"); });
  get(port, "/stand_in/requests?held=1");
  EXPECT_THAT(post(port, "/api/v1/stop-stream", "{}").text, EndsWith(R"({"results": "success"})"));
  EXPECT_EQ(held.get().parsed()["results"][0]["text"], " token1");
}

TEST(Sdauto, EndsThePictureThatIsInterrupted) {
  auto server = start("sdauto", {});
  const std::uint16_t port = server->wait_for_port();
  auto drawn = std::async(std::launch::async, [port] {
    return post(port, "/sdapi/v1/txt2img", R"({"prompt":"hold","steps":20})");
  });
  get(port, "/stand_in/requests?held=1");
  EXPECT_EQ(post(port, "/sdapi/v1/interrupt", "").body(), "{}");
  EXPECT_EQ(drawn.get().parsed()["images"].size(), 1u);
  EXPECT_EQ(get(port, "/sdapi/v1/progress").parsed()["state"]["interrupted"], true);
}

std::string inflated(const std::string& raw, std::size_t size) {
  std::string out(size, '\0');
  boost::beast::zlib::z_params params{};
  params.next_in = raw.data();
  params.avail_in = raw.size();
  params.next_out = out.data();
  params.avail_out = out.size();
  boost::beast::zlib::inflate_stream inflater;
  boost::system::error_code error;
  inflater.write(params, boost::beast::zlib::Flush::finish, error);
  return error == boost::beast::zlib::error::end_of_stream ? out : error.message();
}

TEST(Sdauto, CompressesLargeAnswersForThoseWhoTakeThem) {
  auto server = start("sdauto", {});
  const std::uint16_t port = server->wait_for_port();
  const std::string body = R"({"prompt":")" + std::string(70'000, 'x') + R"(","seed":7})";
  const std::string plain = post(port, "/sdapi/v1/txt2img", body).body();
  asio::io_context io;
  std::string asking = post_text("/sdapi/v1/txt2img", body);
  asking.insert(asking.find("\r\n") + 2, "Accept-Encoding: gzip, deflate\r\n");
  asio::ip::tcp::socket client = send(io, port, asking);
  const Reply reply = read_all(client);
  EXPECT_THAT(reply.text, HasSubstr("content-encoding: gzip\r\n"));
  const std::string zipped = reply.body();
  EXPECT_EQ(zipped, gzip(plain));
  EXPECT_EQ(inflated(zipped.substr(10, zipped.size() - 18), plain.size()), plain);
}

}  // namespace
}  // namespace cppworker::stand_ins
