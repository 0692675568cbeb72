// What becomes of a worker whose autoscaler fails, or that has none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <fstream>
#include <map>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::IsEmpty;

constexpr int kUntilToldOtherwise = 1'000'000;

json wrapped(const json& route) {
  return {{"auth_data", route},
          {"payload", {{"inputs", "Once upon a time"}, {"parameters", {{"max_new_tokens", 20}}}}}};
}

int generate(Worker& worker, const json& route) {
  return post(worker.port(), "/generate", wrapped(route).dump()).status;
}

// The proxy hears of the model and of the key an instant after the supervisor knows.
bool serves(Worker& worker, Autoscaler& autoscaler) {
  const json route = autoscaler.route({{"covers", "url"}});
  const auto until = std::chrono::steady_clock::now() + kPatience;
  int status = 0;
  while (status != 200 && std::chrono::steady_clock::now() < until) status = generate(worker, route);
  return status == 200;
}

double sum_of(const json& reports, const char* figure) {
  double sum = 0;
  for (const json& report : reports) sum += report.at(figure).get<double>();
  return sum;
}

void end(Worker& worker) {
  worker.process().signal(SIGTERM);
  EXPECT_EQ(worker.process().wait_for_exit(), 0) << worker.process().output();
  EXPECT_THAT(worker.tree(), IsEmpty());
}

TEST(AutoscalerTrouble, LosesAndDoublesNoLoadOverReportsThatFailed) {
  Autoscaler autoscaler;
  Worker worker(autoscaler, "tgi");
  ASSERT_TRUE(serves(worker, autoscaler)) << worker.process().output();
  // More than the tries of one report: what failed with it is the next one's to tell.
  autoscaler.fail("/worker_status/", 4, 500);
  autoscaler.fail("/delete_requests/", 4, 0);
  std::vector<json> routes;
  for (int i = 0; i < 5; ++i) routes.push_back(autoscaler.route());
  for (const json& route : routes) ASSERT_EQ(generate(worker, route), 200);
  const json books = worker.wait_for_status(
      [](const json& status) { return status["books"]["served"]["requests"] == 6; })["books"];
  ASSERT_TRUE(books.is_object()) << worker.status();

  double told = 0;
  const double served = books["served"]["work"];
  const json recovered = autoscaler.wait_for_report([&](const json& report) {
    told += report["cur_perf"].get<double>();
    return told >= served;
  });
  ASSERT_FALSE(recovered.is_null()) << worker.process().output();
  const json last_idx = routes.back()["request_idx"];
  ASSERT_FALSE(autoscaler
                   .wait_for_delete([&](const json& message) {
                     const json& idxs = message["request_idxs"];
                     return std::find(idxs.begin(), idxs.end(), last_idx) != idxs.end();
                   })
                   .is_null());
  end(worker);  // the last report comes with it

  EXPECT_THAT(worker.process().output(), HasSubstr("Autoscaler didn't get worker_status, trying on"));
  EXPECT_THAT(worker.process().output(), HasSubstr("Autoscaler gets worker_status again"));
  const json reports = autoscaler.reports();
  EXPECT_DOUBLE_EQ(sum_of(reports, "cur_perf"), served);
  const double rejected = books["rejected"]["work"];  // those that came while it loaded
  EXPECT_DOUBLE_EQ(sum_of(reports, "new_load"), books["received"]["work"].get<double>() - rejected);
  EXPECT_DOUBLE_EQ(sum_of(reports, "rej_load"), rejected);
  std::map<int, int> told_of;
  for (const json& message : autoscaler.deletes())
    for (const json& idx : message["request_idxs"]) ++told_of[idx];
  for (const json& route : routes) EXPECT_EQ(told_of[route["request_idx"]], 1) << route["request_idx"];
}

TEST(AutoscalerTrouble, RefusesClearlyUntilTheKeyIsThereAndServesThen) {
  Autoscaler autoscaler;
  autoscaler.fail("/pubkey/", kUntilToldOtherwise, 503);
  Worker worker(autoscaler, "tgi");
  const json told = autoscaler.wait_for_report([](const json& report) {
    return report["error_msg"].get<std::string>().find("public key") != std::string::npos;
  });
  EXPECT_FALSE(told.is_null()) << worker.process().output();
  ASSERT_FALSE(worker.wait_for_status([](const json& status) { return status["model"]["state"] == "ready"; })
                   .is_null())
      << worker.status();
  const json route = autoscaler.route();
  Reply refused;
  // Until the proxy has heard of the model, the refusal names that.
  const auto until = std::chrono::steady_clock::now() + kPatience;
  do {
    refused = post(worker.port(), "/generate", wrapped(route).dump());
  } while (refused.body.find("key") == std::string::npos && std::chrono::steady_clock::now() < until);
  EXPECT_EQ(refused.status, 503);
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_THAT(refused.body, HasSubstr("the autoscaler's public key isn't here yet"));
  EXPECT_EQ(get(worker.admin_port(), "/readyz").status, 503);

  autoscaler.fail("/pubkey/", 0, 503);
  EXPECT_TRUE(serves(worker, autoscaler)) << worker.process().output();
  EXPECT_EQ(generate(worker, route), 200) << "a refusal for want of the key uses up no reqnum";
  end(worker);
}

// Nobody is told anything, and requests are checked all the same.
class StandAlone : public ::testing::TestWithParam<const char*> {};

TEST_P(StandAlone, ServesWithItsOwnKeyAndReportsNothing) {
  Autoscaler autoscaler;
  TemporaryFolder folder;
  std::string source = autoscaler.url() + "/pubkey/";
  if (GetParam() == std::string("File")) {
    source = folder.path() + "/key.pem";
    std::ofstream(source) << get(autoscaler.port(), "/pubkey/").body;
  }
  Worker worker(autoscaler, "tgi", {{"CONTAINER_ID", ""}}, {{"public_key", source}});
  EXPECT_TRUE(serves(worker, autoscaler)) << worker.process().output();
  const json route = autoscaler.route();
  EXPECT_EQ(generate(worker, route), 200);
  EXPECT_EQ(generate(worker, route), 401) << "replayed";
  Autoscaler stranger;
  EXPECT_EQ(generate(worker, stranger.route({{"reqnum", 50}})), 401);
  end(worker);
  EXPECT_THAT(autoscaler.reports(), IsEmpty());
  EXPECT_THAT(autoscaler.deletes(), IsEmpty());
}

INSTANTIATE_TEST_SUITE_P(KeyFrom, StandAlone, ::testing::Values("File", "Url"),
                         [](const auto& info) { return info.param; });

}  // namespace
}  // namespace cppworker::testing
