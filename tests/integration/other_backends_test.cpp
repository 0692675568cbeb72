// The start-to-report path through sdauto, ooba and toy.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <thread>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;

struct Case {
  std::string backend, path;
  json payload;
  std::string answer_member;
};

// Else the test's name would hold the case's bytes, pointers among them.
void PrintTo(const Case& backend, std::ostream* out) {
  *out << backend.backend;
}

class BackendTest : public ::testing::TestWithParam<Case> {};

json wrapped(const json& route, const json& payload) {
  return {{"auth_data", route}, {"payload", payload}};
}

TEST_P(BackendTest, LoadsServesReportsAndStops) {
  const Case& backend = GetParam();
  Autoscaler autoscaler;
  Worker worker(autoscaler, backend.backend);
  json loaded =
      autoscaler.wait_for_report([](const json& report) { return report["loadtime"].get<double>() > 0; });
  ASSERT_FALSE(loaded.is_null()) << worker.process().output();
  EXPECT_GT(loaded["max_perf"].get<double>(), 0);

  json body = backend.payload;
  body.update(autoscaler.route());
  Reply flat = post(worker.port(), backend.path, body.dump());
  while (flat.status == 503) flat = post(worker.port(), backend.path, body.dump());
  EXPECT_EQ(flat.status, 200) << flat.body;
  EXPECT_TRUE(flat.json().contains(backend.answer_member)) << flat.body;
  Reply second = post(worker.port(), backend.path,
                      wrapped(autoscaler.route({{"covers", "url"}}), backend.payload).dump());
  EXPECT_EQ(second.status, 200) << second.body;
  EXPECT_TRUE(second.json().contains(backend.answer_member)) << second.body;
  EXPECT_EQ(post(worker.port(), backend.path, body.dump()).status, 401);

  json report = autoscaler.wait_for_report([](const json& r) { return r["cur_perf"].get<double>() > 0; });
  EXPECT_FALSE(report.is_null());
  worker.process().signal(SIGTERM);
  EXPECT_EQ(worker.process().wait_for_exit(), 0) << worker.process().output();
  EXPECT_THAT(worker.tree(), ::testing::IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(
    All, BackendTest,
    ::testing::Values(Case{"sdauto", "/sdapi/v1/txt2img", {{"prompt", "a harbour"}, {"steps", 2}}, "images"},
                      Case{
                          "ooba", "/api/v1/generate", {{"prompt", "Once"}, {"max_new_tokens", 8}}, "results"},
                      Case{"toy",
                           "/generate",
                           {{"inputs", "The"}, {"parameters", {{"max_new_tokens", 8}}}},
                           "generated_text"}),
    [](const auto& info) { return info.param.backend; });

TEST(SerialBackendTest, SendsOneRequestAtATime) {
  Autoscaler autoscaler;
  Worker worker(autoscaler, "sdauto");
  ASSERT_FALSE(
      autoscaler.wait_for_report([](const json& report) { return report["loadtime"].get<double>() > 0; })
          .is_null());
  json body = wrapped(autoscaler.route({{"covers", "url"}}), {{"prompt", "sleep:50"}, {"steps", 2}});
  // The proxy may hear a moment after the autoscaler that the model is there.
  while (post(worker.port(), "/sdapi/v1/txt2img", body.dump()).status == 503) {
  }
  std::vector<std::thread> clients;
  std::atomic<int> served = 0;
  for (int i = 0; i < 5; ++i)
    clients.emplace_back(
        [&] { served += post(worker.port(), "/sdapi/v1/txt2img", body.dump()).status == 200; });
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(served, 5);
  json seen = get(worker.server_port(), "/stand_in/requests").json();
  EXPECT_EQ(seen["peak_concurrency"], 1) << seen.dump().substr(0, 500);
}

}  // namespace
}  // namespace cppworker::testing
