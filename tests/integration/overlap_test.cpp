// Two proxies of one worker at once: after a reload the old one finishes what it has.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <filesystem>
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
    ask_for_proxy(77);
    ASSERT_TRUE(worker_->process().wait_for_line("has taken over from"));
    ASSERT_EQ(worker_->status()["proxy"]["retiring"], 1);
  }
  void ask_for_proxy(int max_queue) {
    const std::string file = worker_->folder() + "/cppworker.json";
    json settings = json::parse(read_file(file, 1 << 16).value());
    settings["proxy"] = {{"max_queue", max_queue}};
    std::ofstream(file) << settings.dump();
    worker_->process().signal(SIGHUP);
  }
  // Of those that proxies are launched with.
  int max_queue() {
    return json::parse(read_file(worker_->folder() + "/run/proxy.json", 1 << 20).value())["max_queue"];
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

// What the public port's socket is to a proxy, as long as it accepts.
std::string listener_of(pid_t proxy) {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/" + std::to_string(proxy) + "/fd/3", ignored);
}

// Whoever sends SIGHUP goes on, and won't ask again when there is room for another proxy.
TEST_F(OverlapTest, AReloadWaitsForOneOfTooManyProxies) {
  start_ready("tgi");
  const json body = {{"auth_data", autoscaler_.route({{"covers", "url"}})},
                     {"payload", {{"inputs", "hold"}, {"parameters", {{"max_new_tokens", 5}}}}}};
  Reply replies[4];
  std::vector<std::thread> clients;
  for (int i = 0; i < 4; ++i) {
    clients.push_back(begin("/generate", body, replies[i]));
    get(worker_->server_port(), "/stand_in/requests?path=/generate&held=" + std::to_string(i + 1));
    const pid_t old = worker_->status()["proxy"]["pid"];
    const std::string listener = listener_of(old);
    ask_for_proxy(50 + i);
    ASSERT_TRUE(worker_->process().wait_for_line("has taken over from"));
    ASSERT_TRUE(eventually([&] { return listener_of(old) != listener; })) << "the next client isn't its";
  }
  EXPECT_EQ(worker_->status()["proxy"]["retiring"], 4);
  ask_for_proxy(99);
  EXPECT_TRUE(worker_->process().wait_for_line("Reload: waits, as 4 earlier proxies still finish"));
  EXPECT_EQ(max_queue(), 53);
  post(worker_->server_port(), "/stand_in/release", "");
  for (std::thread& client : clients) client.join();
  for (const Reply& reply : replies) EXPECT_EQ(reply.status, 200) << reply.body;
  EXPECT_TRUE(worker_->process().wait_for_line("Reload: proxy/max_queue has changed"));
  EXPECT_TRUE(worker_->process().wait_for_line("has taken over from"));
  EXPECT_EQ(max_queue(), 99);
}

}  // namespace
}  // namespace cppworker::testing
