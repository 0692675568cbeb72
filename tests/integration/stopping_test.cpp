// What clients see of a worker that is told to stop.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <future>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

class StoppingTest : public ::testing::TestWithParam<int> {
 protected:
  std::string body(const std::string& prompt) {
    return json{{"auth_data", autoscaler_.route({{"covers", "url"}})},
                {"payload", {{"inputs", prompt}, {"parameters", {{"max_new_tokens", 8}}}}}}
        .dump();
  }
  // Asks until the answer has this status: the proxy hears of a change an instant after the supervisor.
  Reply ask_until(int status) {
    const std::string ordinary = body("Once");
    const auto until = std::chrono::steady_clock::now() + kPatience;
    Reply reply;
    while (reply.status != status && std::chrono::steady_clock::now() < until)
      reply = post(worker_.port(), "/generate", ordinary);
    return reply;
  }

  Autoscaler autoscaler_;
  // Longer than the test's patience: what ends in time wasn't cut off.
  Worker worker_{autoscaler_, "tgi", {}, {{"drain_timeout_s", 120}}};
};

// Ctrl-C, and what a container's runtime sends.
TEST_P(StoppingTest, EndsTheRequestInFlightAndLetsNoNewOneIn) {
  ASSERT_EQ(ask_until(200).status, 200) << worker_.process().output();
  auto in_flight = std::async(
      std::launch::async, [this, held = body("hold")] { return post(worker_.port(), "/generate", held); });
  ASSERT_EQ(get(worker_.server_port(), "/stand_in/requests?path=/generate&held=1").json()["held"], 1);

  worker_.process().signal(GetParam());
  ASSERT_TRUE(worker_.process().wait_for_line("draining"));
  const Reply refused = ask_until(503);
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_THAT(refused.body, HasSubstr("shutting down"));
  EXPECT_EQ(worker_.status()["books"]["in_flight"]["requests"], 1) << "it was neither cut nor ended";

  post(worker_.server_port(), "/stand_in/release", "");
  const Reply ended = in_flight.get();
  EXPECT_EQ(ended.status, 200);
  EXPECT_TRUE(ended.json().contains("generated_text")) << ended.body;
  EXPECT_EQ(worker_.process().wait_for_exit(), 0) << worker_.process().output();
  EXPECT_THAT(worker_.tree(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(By, StoppingTest, ::testing::Values(SIGTERM, SIGINT),
                         [](const auto& info) { return info.param == SIGTERM ? "Sigterm" : "Sigint"; });

}  // namespace
}  // namespace cppworker::testing
