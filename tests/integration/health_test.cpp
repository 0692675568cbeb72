// Servers that are ill in ways that their process doesn't show, end to end.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <future>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;

constexpr char kLaunchTgi[] =
    "#!/bin/sh\nexec text-generation-launcher --port \"$SERVER_PORT\" --hostname 127.0.0.1 --json-output\n";

// Short enough for a test, long enough for a busy machine.
json definition(json health = json::object(), json startup = json::object()) {
  json made = {{"path", "/health"}, {"interval_s", 1}, {"timeout_s", 5}, {"failures", 2}};
  made.update(health);
  // A dead engine doesn't finish what it has, however politely it is asked.
  return {{"launch", {{"script", "launch.sh"}, {"stop_timeout_s", 1}}},
          {"log", {{"ready", {"\"message\":\"Connected\""}}}},
          {"health", made},
          {"startup", startup},
          {"endpoints",
           {{{"method", "POST"}, {"path", "/generate"}, {"workload", 1}},
            {{"method", "POST"}, {"path", "/generate_stream"}, {"workload", 1}},
            {{"method", "GET"}, {"path", "/info"}, {"auth", "none"}, {"workload", 0}}}}};
}

class HealthTest : public ::testing::Test {
 protected:
  void start(const json& definition, std::map<std::string, std::string> variables = {}) {
    backend_ = std::make_unique<BackendFolder>(kLaunchTgi, definition);
    worker_ =
        std::make_unique<Worker>(autoscaler_, backend_->name(), std::move(variables), backend_->settings());
  }
  void wait_until_ready(int launches = 1) {
    ASSERT_FALSE(worker_
                     ->wait_for_status([&](const json& status) {
                       return status["ready"] == true && status["model"]["launches"] >= launches;
                     })
                     .is_null())
        << worker_->process().output();
    // The proxy hears of it an instant later.
    const auto until = std::chrono::steady_clock::now() + kPatience;
    while (get(worker_->port(), "/info").status != 200 && std::chrono::steady_clock::now() < until) {
    }
  }
  bool relaunched() {
    return !worker_->wait_for_status([](const json& status) { return status["model"]["launches"] >= 2; })
                .is_null();
  }
  std::string request(const std::string& prompt) {
    json body = {{"inputs", prompt}};
    body.update(autoscaler_.route());
    body.erase("request_idx");
    return body.dump();
  }

  Autoscaler autoscaler_;
  std::unique_ptr<BackendFolder> backend_;
  std::unique_ptr<Worker> worker_;
};

TEST_F(HealthTest, RestartsAServerThatHangsWhileItLoads) {
  TemporaryFolder folder;
  start(definition(json::object(), {{"no_progress_s", 1}}),
        {{"STAND_IN_HANG_PHASE", "load"}, {"STAND_IN_ONCE_FILE", folder.path() + "/hung"}});
  wait_until_ready(2);
  EXPECT_TRUE(worker_->process().wait_for_line("it loaded and nothing moved any more"));
}

// TGI's launcher prints that it waits, with a new time in each line, for as long as it is let.
TEST_F(HealthTest, RestartsAServerThatHangsWhileItsLogGoesOn) {
  TemporaryFolder folder;
  start(definition(json::object(), {{"no_progress_s", 1}}),
        {{"STAND_IN_HANG_PHASE", "load"},
         {"STAND_IN_HANG_LOG_MS", "50"},
         {"STAND_IN_ONCE_FILE", folder.path() + "/hung"}});
  wait_until_ready(2);
  EXPECT_TRUE(worker_->process().wait_for_line("it loaded and nothing moved any more"));
}

TEST_F(HealthTest, RestartsADeadEngineBehindAHealthyFront) {
  start(definition({{"stall_s", 1},
                    {"canary",
                     {{"endpoint", "/generate"},
                      {"payload", {{"inputs", "hold as all else"}}},
                      {"interval_s", 3600},
                      {"timeout_s", 1}}}}));
  wait_until_ready();
  auto stuck = std::async(std::launch::async,
                          [&, body = request("hold")] { return post(worker_->port(), "/generate", body); });
  EXPECT_TRUE(relaunched()) << worker_->process().output();
  // It had no byte of an answer: the client waits for the next launch's.
  while (stuck.wait_for(std::chrono::milliseconds(10)) != std::future_status::ready)
    post(worker_->server_port(), "/stand_in/release", "");
  EXPECT_EQ(stuck.get().status, 200);
}

TEST_F(HealthTest, RestartsAServerThatAnswersNothingButErrors) {
  start(definition({{"errors_in_a_row", 3}}));
  wait_until_ready();
  for (int i = 0; i < 3; ++i) EXPECT_EQ(post(worker_->port(), "/generate", request("error:500")).status, 500);
  EXPECT_TRUE(relaunched()) << worker_->process().output();
  wait_until_ready(2);
  EXPECT_EQ(post(worker_->port(), "/generate", request("well")).status, 200);
}

TEST_F(HealthTest, LeavesABusyServerAloneThatFailsItsProbes) {
  start(definition(), {{"STAND_IN_EVENTS", "60"}, {"STAND_IN_EVENT_INTERVAL_MS", "100"}});
  wait_until_ready();
  auto streamed = std::async(std::launch::async, [&, body = request("a long story")] {
    return post_streamed(worker_->port(), "/generate_stream", body);
  });
  get(worker_->server_port(), "/stand_in/requests?path=/generate_stream&received=1");
  post(worker_->server_port(), "/stand_in/health", "bad");
  Streamed stream = streamed.get();
  EXPECT_EQ(stream.status, 200);
  EXPECT_TRUE(stream.complete) << "six seconds, with a bad probe in each";
  EXPECT_TRUE(relaunched()) << "idle, it counts";
}

}  // namespace
}  // namespace cppworker::testing
