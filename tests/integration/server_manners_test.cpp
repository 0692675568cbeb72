// What a worker makes of the manners that real inference servers have.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

class ServerManners : public ::testing::Test {
 protected:
  void start(const std::string& backend, std::map<std::string, std::string> knobs = {}) {
    worker_ = std::make_unique<Worker>(autoscaler_, backend, std::move(knobs));
    loaded_ = autoscaler_.wait_for_report([](const json& r) { return r["loadtime"].get<double>() > 0; });
    ASSERT_FALSE(loaded_.is_null()) << worker_->process().output();
  }
  std::string body(const json& payload) {
    return json{{"auth_data", autoscaler_.route({{"covers", "url"}})}, {"payload", payload}}.dump();
  }
  // The proxy hears of the model an instant after the autoscaler: asks until it isn't refused for that.
  std::string ask(const std::string& path, const std::string& text, const std::string& headers) {
    std::string answer;
    const auto until = std::chrono::steady_clock::now() + kPatience;
    do {
      answer = exchange(worker_->port(), path, text, headers);
    } while (answer.starts_with("HTTP/1.1 503") && std::chrono::steady_clock::now() < until);
    return answer;
  }
  static std::string exchange(std::uint16_t port, const std::string& path, const std::string& text,
                              const std::string& headers) {
    return exchange_raw(port, "POST " + path + " HTTP/1.1\r\nHost: h\r\nConnection: close\r\n" + headers +
                                  "Content-Type: application/json\r\nContent-Length: " +
                                  std::to_string(text.size()) + "\r\n\r\n" + text);
  }
  static std::string body_of(const std::string& answer) { return answer.substr(answer.find("\r\n\r\n") + 4); }

  Autoscaler autoscaler_;
  std::unique_ptr<Worker> worker_;
  json loaded_;
};

TEST_F(ServerManners, AReadyLineLongBeforeThePortIsOpenIsNotBelieved) {
  start("tgi", {{"STAND_IN_BIND_GAP_MS", "1500"}});
  EXPECT_GE(loaded_["loadtime"].get<double>(), 1.5);
  EXPECT_EQ(worker_->status()["model"]["launches"], 1);
}

TEST_F(ServerManners, AnErrorOnThePortWhileItLoadsIsNoFailure) {
  start("tgi", {{"STAND_IN_LOADING_503", "1"}, {"STAND_IN_LOAD_MS", "1500"}});
  EXPECT_GE(loaded_["loadtime"].get<double>(), 1.5);
  EXPECT_EQ(worker_->status()["model"]["launches"], 1);
}

TEST_F(ServerManners, ACompressedAnswerArrivesByteForByte) {
  start("sdauto");
  const json payload = {{"prompt", std::string(5000, 'x')}, {"seed", 7}, {"steps", 2}};
  const std::string accepts = "Accept-Encoding: gzip\r\n";
  const std::string through = ask("/sdapi/v1/txt2img", body(payload), accepts);
  const std::string direct = exchange(worker_->server_port(), "/sdapi/v1/txt2img", payload.dump(), accepts);
  EXPECT_THAT(direct, HasSubstr("content-encoding: gzip\r\n"));
  EXPECT_THAT(through.substr(0, through.find("\r\n\r\n")), HasSubstr("gzip"));
  EXPECT_TRUE(body_of(through) == body_of(direct))
      << body_of(through).size() << " bytes instead of " << body_of(direct).size();
}

// The server ended its connection in good order, and nothing but the length tells that a half is missing.
TEST_F(ServerManners, AnAnswerThatEndsInTheMiddleLooksBroken) {
  start("tgi");
  const json payload = {{"inputs", "error:cut"}, {"parameters", {{"max_new_tokens", 8}}}};
  ask("/generate", body({{"inputs", "Once"}, {"parameters", {{"max_new_tokens", 8}}}}), "");
  EXPECT_EQ(post(worker_->port(), "/generate", body(payload)).status, 0);
  const Streamed stream = post_streamed(worker_->port(), "/generate_stream", body(payload));
  EXPECT_EQ(stream.status, 200);
  EXPECT_FALSE(stream.complete);
  EXPECT_FALSE(worker_
                   ->wait_for_status([](const json& status) {
                     return status["books"]["errored"]["requests"].get<int>() >= 2;
                   })
                   .is_null())
      << worker_->status();
}

}  // namespace
}  // namespace cppworker::testing
