#include "supervisor/status_pages.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/common/test_certificates.hpp"
#include "tests/supervisor/worker_view_fixture.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

class StatusPagesTest : public WorkerViewFixture {};

TEST_F(StatusPagesTest, IsLiveInEveryPhase) {
  for (const ModelPhase phase :
       {ModelPhase::kLoading, ModelPhase::kReady, ModelPhase::kUnhealthy, ModelPhase::kDraining}) {
    worker_phase = phase;
    EXPECT_EQ(status_of("/livez"), 200) << phase_name(phase) << ": a restart of the worker would not help";
  }
}

TEST_F(StatusPagesTest, IsReadyWhenNothingIsMissingAndSaysWhatIs) {
  EXPECT_EQ(status_of("/readyz"), 503);
  EXPECT_EQ(body_of("/readyz"),
            json({{"ready", false},
                  {"waiting_for", {"model: loading", "proxy: down", "public key: not here yet"}}}));
  bring_model();
  EXPECT_EQ(body_of("/readyz")["waiting_for"], json({"proxy: down", "public key: not here yet"}));
  bring_proxy();
  EXPECT_EQ(body_of("/readyz")["waiting_for"], json({"public key: not here yet"}));
  EXPECT_EQ(status_of("/readyz"), 503);
  bring_key();
  EXPECT_EQ(status_of("/readyz"), 200);
  EXPECT_EQ(body_of("/readyz"), json({{"ready", true}, {"waiting_for", json::array()}}));
}

TEST_F(StatusPagesTest, IsNotReadyWhileTheModelIsNotServed) {
  bring_model();
  bring_proxy();
  bring_key();
  for (const ModelPhase phase : {ModelPhase::kLoading, ModelPhase::kUnhealthy, ModelPhase::kDraining}) {
    worker_phase = phase;
    EXPECT_EQ(status_of("/readyz"), 503);
    EXPECT_EQ(body_of("/readyz")["waiting_for"], json({"model: " + std::string(phase_name(phase))}));
    EXPECT_EQ(body_of("/status")["ready"], false);
    EXPECT_EQ(body_of("/status")["state"], phase_name(phase));
  }
}

TEST_F(StatusPagesTest, SaysWhyThereIsNoKey) {
  asio::co_spawn(io, keys->run(), asio::detached);
  settle();
  EXPECT_EQ(body_of("/readyz")["waiting_for"][2], "public key: cannot fetch the public key: no answer");
}

TEST_F(StatusPagesTest, WaitsForACertificateWhereTlsIsServed) {
  bring_model();
  bring_proxy();
  bring_key();
  CertificatePaths paths{folder / "instance.crt", folder / "instance.key", folder / "mark"};
  CertificateKeeper certificates(
      paths, {}, [] {}, system_certificate_clock(paths));
  view->certificates = &certificates;
  EXPECT_EQ(body_of("/status")["tls"]["valid_until"], nullptr);
  EXPECT_EQ(status_of("/readyz"), 503);
  EXPECT_EQ(body_of("/readyz")["waiting_for"], json({"certificate: not here yet"}));
  const TestKey key = make_ec_key();
  const std::time_t until = std::time(nullptr) + 1000;
  std::ofstream(paths.certificate) << self_signed(key, {.until = until});
  std::ofstream(paths.key) << private_pem(key.get());
  EXPECT_TRUE(certificates.take_what_is_there());
  EXPECT_EQ(status_of("/readyz"), 200);
  EXPECT_EQ(body_of("/status")["tls"]["valid_until"], until);
}

TEST_F(StatusPagesTest, NeedsNoKeyWhereNoSignatureIsAskedFor) {
  settings.proxy.unsecured = true;
  bring_model();
  bring_proxy();
  EXPECT_EQ(status_of("/readyz"), 200);
  EXPECT_EQ(body_of("/status")["unsecured"], true);
}

// An orchestrator waits with its other probes until then; it must not start to wait again with each restart.
TEST_F(StatusPagesTest, HasStartedOnceAndForAll) {
  EXPECT_EQ(status_of("/startupz"), 503);
  print(R"({"message":"Download file 3 of 9"})");
  json body = body_of("/startupz");
  EXPECT_EQ(body["started"], false);
  EXPECT_EQ(body["progress"], R"({"message":"Download file 3 of 9"})");
  EXPECT_EQ(body["loading"]["phase"], "download");
  bring_model();
  EXPECT_EQ(status_of("/startupz"), 200);
  EXPECT_EQ(body_of("/startupz"), json({{"started", true}, {"progress", "ready"}, {"loading", nullptr}}));
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(ServicePhase::kBackoff));
  worker_phase = ModelPhase::kUnhealthy;
  EXPECT_EQ(status_of("/readyz"), 503);
  EXPECT_EQ(status_of("/startupz"), 200);
}

TEST_F(StatusPagesTest, ShowsTheWholeWorker) {
  print("Setting max batch total tokens to 16384");
  bring_model();
  bring_proxy();
  Acceptance request;
  request.work_milli = 1500;
  const Ticket ticket = ledger->accept(7, request).second;
  Finish served;
  ledger->finish(ticket, served);
  ledger->accept(7, request);
  error = "something is amiss";

  EXPECT_EQ(status_of("/status"), 200);
  const json status = body_of("/status");
  EXPECT_EQ(status["version"], CPPWORKER_VERSION);
  EXPECT_EQ(status["backend"], "tgi");
  EXPECT_EQ(status["url"], "http://203.0.113.9:41234");
  EXPECT_EQ(status["ready"], false);
  EXPECT_EQ(status["waiting_for"], json({"public key: not here yet"}));
  EXPECT_EQ(status["state"], "ready");
  EXPECT_EQ(status["error"], "something is amiss");
  EXPECT_EQ(status["model"]["state"], "ready");
  EXPECT_EQ(status["model"]["pid"], processes.last().pid);
  EXPECT_EQ(status["model"]["launches"], 1);
  EXPECT_EQ(status["model"]["loads"], 1);
  EXPECT_EQ(status["model"]["max_capacity"], 16384);
  EXPECT_EQ(status["proxy"]["state"], "ready");
  EXPECT_EQ(status["proxy"]["pid"], proxy_processes.last().pid);
  EXPECT_EQ(status["books"]["received"], json({{"requests", 2}, {"work", 3.0}}));
  EXPECT_EQ(status["books"]["served"], json({{"requests", 1}, {"work", 1.5}}));
  EXPECT_EQ(status["books"]["in_flight"], json({{"requests", 1}, {"work", 1.5}}));
}

TEST_F(StatusPagesTest, ShowsWhyTheModelFailed) {
  processes.exit_with_code(137);
  ASSERT_TRUE(reaches(ServicePhase::kBackoff));
  const json model = body_of("/status")["model"];
  EXPECT_EQ(model["state"], "backoff");
  EXPECT_EQ(model["pid"], -1);
  EXPECT_EQ(model["failures"], json({{"the process ended", 1}}));
  EXPECT_EQ(model["last_error"], "the model failed: the process ended: exit code 137");
  EXPECT_EQ(model["max_capacity"], nullptr);
}

TEST_F(StatusPagesTest, CountsForPrometheus) {
  const AdminAnswer before = pages.at("/metrics")();
  EXPECT_EQ(before.status, 200) << "also while nothing is served";
  EXPECT_THAT(before.content_type, HasSubstr("text/plain; version=0.0.4"));
  EXPECT_THAT(before.body, HasSubstr("cppworker_ready 0\n"));
  EXPECT_THAT(before.body, HasSubstr("cppworker_model_state{state=\"starting\"} 1\n"));
  EXPECT_THAT(before.body, Not(HasSubstr("cppworker_load_seconds"))) << "it has no load to speak of";
  EXPECT_THAT(before.body, HasSubstr("process=\"supervisor\""));
  EXPECT_THAT(before.body, HasSubstr("cppworker_model_load_phase{phase=\"launch\"} 1\n"));
  EXPECT_THAT(before.body, HasSubstr("cppworker_model_load_quiet_seconds "));
  EXPECT_THAT(before.body, HasSubstr("cppworker_public_key_present 0\n"));
  EXPECT_THAT(before.body, HasSubstr("cppworker_unsecured 0\n"));
  EXPECT_THAT(before.body, HasSubstr("cppworker_model_restarts_total{cause=\"health\"} 0\n"));
  EXPECT_THAT(before.body, Not(HasSubstr("cppworker_report_lag_seconds"))) << "it stands alone";

  settings.proxy.unsecured = true;
  bring_model();
  bring_proxy();
  ledger->accept(7, {});
  proxy_processes.exit_by_signal(SIGSEGV);
  const std::string after = pages.at("/metrics")().body;
  EXPECT_THAT(after, HasSubstr("cppworker_model_state{state=\"ready\"} 1\n"));
  EXPECT_THAT(after, HasSubstr("cppworker_model_state{state=\"starting\"} 0\n"));
  EXPECT_THAT(after, HasSubstr("cppworker_load_seconds "));
  EXPECT_THAT(after, HasSubstr("cppworker_model_load_phase{phase=\"launch\"} 0\n"));
  EXPECT_THAT(after, Not(HasSubstr("cppworker_model_load_quiet_seconds ")));
  EXPECT_THAT(after, HasSubstr("cppworker_model_unwell 0\n"));
  EXPECT_THAT(after, HasSubstr("cppworker_proxy_restarts_total 1\n"));
  EXPECT_THAT(after, HasSubstr("cppworker_unsecured 1\n"));
  EXPECT_THAT(after, HasSubstr("cppworker_ready 0\n"));
}

TEST_F(StatusPagesTest, NeverShowTheToken) {
  bring_model();
  bring_proxy();
  for (const auto& [target, page] : pages)
    EXPECT_THAT(page().body, Not(HasSubstr("token-of-the-account"))) << target;
}

}  // namespace
}  // namespace cppworker
