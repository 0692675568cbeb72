// Two proxies of one worker at once: after a reload the old one finishes what it has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <fstream>
#include <thread>

#include "common/text.hpp"
#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;

class OverlapTest : public ::testing::Test {
 protected:
  void start_ready(const std::string& backend) {
    worker_ = std::make_unique<Worker>(autoscaler_, backend);
    ASSERT_FALSE(
        autoscaler_.wait_for_report([](const json& report) { return report["loadtime"].get<double>() > 0; })
            .is_null())
        << worker_->process().output();
    ASSERT_FALSE(worker_->wait_for_status([](const json& seen) { return seen["model"]["state"] == "ready"; })
                     .is_null());
  }
  // Another proxy serves now; the one before it has requests in flight, and goes on with them.
  void replace_proxy() {
    const std::string file = worker_->folder() + "/cppworker.json";
    json settings = json::parse(read_file(file, 1 << 16).value());
    settings["proxy"] = {{"max_queue", 77}};
    std::ofstream(file) << settings.dump();
    worker_->process().signal(SIGHUP);
    ASSERT_TRUE(worker_->process().wait_for_line("has taken over from"));
    ASSERT_EQ(worker_->status()["proxy"]["retiring"], 1);
  }
  std::thread begin(const std::string& target, const json& body, Reply& reply) {
    return std::thread(
        [this, target, text = body.dump(), &reply] { reply = post(worker_->port(), target, text); });
  }
  // What the inference server has seen of that path, as soon as it holds a request.
  json seen_with_one_held(const std::string& path) {
    return get(worker_->server_port(), "/stand_in/requests?held=1&path=" + path).json();
  }

  Autoscaler autoscaler_;
  std::unique_ptr<Worker> worker_;
};

TEST_F(OverlapTest, ASerialServerGetsOneRequestAtATimeFromBothTogether) {
  start_ready("sdauto");
  auto body = [&](const std::string& prompt) {
    return json{{"auth_data", autoscaler_.route({{"covers", "url"}})},
                {"payload", {{"prompt", prompt}, {"steps", 1}}}};
  };
  Reply first, second;
  std::thread old_client = begin("/sdapi/v1/txt2img", body("hold"), first);
  const std::size_t seen_before = seen_with_one_held("/sdapi/v1/txt2img")["requests"].size();
  replace_proxy();
  std::thread new_client = begin("/sdapi/v1/txt2img", body("a second cat"), second);
  EXPECT_FALSE(
      worker_->wait_for_status([](const json& seen) { return seen["books"]["in_flight"]["requests"] == 2; })
          .is_null());
  // The new proxy had its chance: it has served another endpoint since.
  for (int i = 0; i < 3; ++i) EXPECT_EQ(get(worker_->port(), "/ping").status, 200);
  EXPECT_EQ(seen_with_one_held("/sdapi/v1/txt2img")["requests"].size(), seen_before)
      << "the old proxy's is still there";
  post(worker_->server_port(), "/stand_in/release", "");
  old_client.join();
  new_client.join();
  EXPECT_EQ(first.status, 200) << first.body;
  EXPECT_EQ(second.status, 200) << second.body;
  EXPECT_EQ(get(worker_->server_port(), "/stand_in/requests").json()["peak_concurrency"], 1);
}

TEST_F(OverlapTest, TheEndOfASessionReachesTheOldProxysRequestsAtOnce) {
  start_ready("tgi");
  json route = autoscaler_.route();
  Reply created = post(worker_->port(), "/session/create",
                       json{{"auth_data", route}, {"payload", {{"lifetime", 600}}}}.dump());
  ASSERT_EQ(created.status, 201) << created.body;
  std::string id = created.json()["session_id"];
  Reply cut;
  std::thread client = begin("/generate",
                             {{"auth_data", route},
                              {"session_id", id},
                              {"payload", {{"inputs", "hold"}, {"parameters", {{"max_new_tokens", 5}}}}}},
                             cut);
  seen_with_one_held("/generate");
  replace_proxy();
  Reply ended =
      post(worker_->port(), "/session/end", json{{"session_id", id}, {"session_auth", route}}.dump());
  EXPECT_EQ(ended.status, 200) << ended.body;
  client.join();  // or until the test's time is up
  EXPECT_EQ(cut.status, 410) << cut.body;
  EXPECT_FALSE(
      worker_->wait_for_status([](const json& seen) { return seen["proxy"]["retiring"] == 0; }).is_null());
}

}  // namespace
}  // namespace cppworker::testing
