#include "supervisor/health_probe.hpp"

#include <gmock/gmock.h>

#include "tests/supervisor/http_stub.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

class HealthProbeTest : public testing::Test {
 protected:
  HealthAnswer probe_against(HttpStub::Answer answer, HealthProbe probe = {}) {
    HttpStub server(io, [&](const HttpStub::Request& request) {
      last = request;
      return answer;
    });
    probe.server = server.url();
    return run_coroutine(io, probe_health(std::move(probe)));
  }

  asio::io_context io;
  HttpStub::Request last;
};

TEST_F(HealthProbeTest, IsHealthyWhenTheServerSaysSo) {
  const HealthAnswer answer = probe_against({.status = 200}, {.path = "/health?x=1"});
  EXPECT_TRUE(answer.ok());
  EXPECT_EQ(answer.reason, "");
  EXPECT_EQ(last.method, "GET");
  EXPECT_EQ(last.target, "/health?x=1");
}

TEST_F(HealthProbeTest, IsUnhealthyWithAnotherStatus) {
  const HealthAnswer answer = probe_against({.status = 503});
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.reason, "status 503 instead of 200");
  EXPECT_TRUE(probe_against({.status = 204}, {.expected_status = 204}).ok());
}

TEST_F(HealthProbeTest, SeesThroughAWaitingPage) {
  const HttpStub::Answer page{.body = "<html>Preparing</html>", .content_type = "text/html"};
  EXPECT_TRUE(probe_against(page).ok());
  const HealthAnswer answer = probe_against(page, {.expect_json = true});
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.reason, "the body is not JSON (text/html)");
  EXPECT_TRUE(probe_against({.body = "{\"ok\":true}"}, {.expect_json = true}).ok());
}

TEST_F(HealthProbeTest, GivesASilentServerItsTimeOnly) {
  const HealthAnswer answer = probe_against({.never = true}, {.timeout = 50ms});
  EXPECT_FALSE(answer.ok());
  EXPECT_THAT(answer.reason, HasSubstr("within 50 ms"));
  EXPECT_GE(answer.took, 50ms);
}

TEST_F(HealthProbeTest, IsUnhealthyWhenNobodyListens) {
  HealthProbe probe;
  {
    HttpStub gone(io, {});
    probe.server = gone.url();
  }
  EXPECT_THAT(run_coroutine(io, probe_health(probe)).reason, HasSubstr("cannot connect"));
}

TEST_F(HealthProbeTest, WaitsUntilTheServerIsHealthy) {
  int asked = 0;
  HttpStub server(
      io, [&](const HttpStub::Request&) { return HttpStub::Answer{.status = ++asked < 3 ? 503 : 200}; });
  EXPECT_TRUE(run_coroutine(io, wait_for_health({.server = server.url()}, 1ms)));
  EXPECT_EQ(asked, 3);
}

TEST_F(HealthProbeTest, WaitsNoLongerThanItsLimit) {
  HttpStub server(io, [](const HttpStub::Request&) { return HttpStub::Answer{.status = 503}; });
  EXPECT_FALSE(run_coroutine(io, wait_for_health({.server = server.url()}, 1ms, 30ms)));
  HttpStub silent(io, [](const HttpStub::Request&) { return HttpStub::Answer{.never = true}; });
  EXPECT_FALSE(run_coroutine(io, wait_for_health({.server = silent.url()}, 1ms, 30ms)))
      << "one probe's own timeout doesn't stretch the limit";
}

TEST(HealthGate, ClosesAfterSoManyFailuresInARow) {
  HealthGate gate(3);
  EXPECT_FALSE(gate.closes(Health::kUnhealthy));
  EXPECT_FALSE(gate.closes(Health::kUnhealthy));
  EXPECT_FALSE(gate.closes(Health::kHealthy));
  EXPECT_FALSE(gate.closes(Health::kUnhealthy));
  EXPECT_FALSE(gate.closes(Health::kUnhealthy));
  EXPECT_TRUE(gate.closes(Health::kUnhealthy));
  EXPECT_EQ(gate.failures(), 3);
}

TEST(HealthGate, ClosesAgainWhenTheFirstTimeHadNoEffect) {
  HealthGate gate(2);
  std::vector<bool> closed;
  for (int i = 0; i < 5; ++i) closed.push_back(gate.closes(Health::kUnhealthy));
  EXPECT_THAT(closed, testing::ElementsAre(false, true, false, true, false));
}

TEST(HealthGate, StartsAnewWhenReset) {
  HealthGate gate(2);
  gate.closes(Health::kUnhealthy);
  gate.reset();
  EXPECT_FALSE(gate.closes(Health::kUnhealthy));
}

}  // namespace
}  // namespace cppworker
