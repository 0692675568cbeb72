// A session on a whole worker: it outlives the proxy that opened it, and the inference server can end it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;

class SessionsTest : public ::testing::Test {
 protected:
  // A loaded worker, asked until its proxy knows.
  void start_ready() {
    worker_ = std::make_unique<Worker>(autoscaler_, "tgi");
    auto until = std::chrono::steady_clock::now() + kPatience;
    while (get(worker_->port(), "/health").status != 200 && std::chrono::steady_clock::now() < until) {
    }
  }
  Reply ask(const std::string& route, const json& body) {
    return post(worker_->port(), "/session/" + route, body.dump());
  }

  Autoscaler autoscaler_;
  std::unique_ptr<Worker> worker_;
};

TEST_F(SessionsTest, OneOutlivesItsProxyAndIsEndedFromInside) {
  start_ready();
  json route = autoscaler_.route();
  Reply created = ask("create", {{"auth_data", route}, {"payload", {{"lifetime", 600}}}});
  ASSERT_EQ(created.status, 201) << created.body;
  std::string id = created.json()["session_id"];
  json asking = {{"session_id", id}, {"session_auth", route}};

  pid_t before = worker_->status()["proxy"]["pid"];
  ::kill(before, SIGKILL);
  Reply health = ask("health", asking);  // waits in the backlog, or was cut off with the proxy
  while (health.status == 0) health = ask("health", asking);
  EXPECT_EQ(health.json(), json({{"ok", true}}));
  EXPECT_NE(worker_->status()["proxy"]["pid"], before);

  json body = {{"auth_data", route},
               {"session_id", id},
               {"payload", {{"inputs", "Once"}, {"parameters", {{"max_new_tokens", 5}}}}}};
  for (int i = 0; i < 2; ++i) {
    Reply reply = post(worker_->port(), "/generate", body.dump());
    while (reply.status == 503) reply = post(worker_->port(), "/generate", body.dump());
    EXPECT_EQ(reply.status, 200) << reply.body;
  }
  EXPECT_EQ(worker_->metric("cppworker_sessions"), 1);

  EXPECT_FALSE(accepts("127.0.0.2", worker_->session_port())) << "it is on loopback's first address alone";
  Reply ended = post(worker_->session_port(), "/session/end", asking.dump());
  EXPECT_EQ(ended.status, 200) << ended.body;
  EXPECT_EQ(post(worker_->session_port(), "/generate", body.dump()).status, 404);
  EXPECT_EQ(post(worker_->port(), "/generate", body.dump()).status, 410);
  EXPECT_EQ(worker_->metric("cppworker_sessions"), 0);
  EXPECT_EQ(worker_->metric("cppworker_sessions_closed_total{reason=\"ended\"}"), 1);
}

TEST_F(SessionsTest, NobodyWithoutTheMasterTokenHasTheInstanceUpdated) {
  start_ready();
  std::string refused = exchange_raw(worker_->port(),
                                     "POST /pyworker/update HTTP/1.1\r\nHost: h\r\nConnection: close\r\n"
                                     "Authorization: Bearer wrong\r\nContent-Length: 0\r\n\r\n");
  EXPECT_TRUE(refused.starts_with("HTTP/1.1 401 ")) << refused;
  EXPECT_EQ(worker_->metric("cppworker_update_requests_total{result=\"refused\"}"), 1);
}

}  // namespace
}  // namespace cppworker::testing
