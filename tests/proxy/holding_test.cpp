// What was let in survives a restart of the inference server, as long as nothing of an answer had come; what
// comes meanwhile waits for the server, where that is worth it.
#include "proxy/newcomer.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

class HoldingTest : public SignedProxyTest {
 protected:
  HoldingTest() { setup_.relay_limits.hold = std::chrono::seconds(60); }
};

TEST_F(HoldingTest, SendsTheSameBytesAgainWhenTheServerIsBack) {
  Exchange call = begin(generate(R"({"work": 3, "text": "a"})"));
  call.server.close();  // it died
  proxy().set_phase(ModelPhase::kUnhealthy);
  EXPECT_FALSE(server_.is_called()) << "nothing is sent to a server that is being restarted";
  EXPECT_EQ(proxy().books().in_flight.size(), 1u);
  EXPECT_EQ(proxy().ledger().pulse().at_server, 0) << "nor is it waited for";
  proxy().set_phase(ModelPhase::kReady);
  UpstreamConnectionInTest again = server_.accept();
  EXPECT_EQ(again.read_request().body, R"({"work": 3, "text": "a"})");
  EXPECT_EQ(proxy().ledger().pulse().at_server, 1);
  again.answer(200, "late but whole");
  EXPECT_EQ(call.client.read_response().body, "late but whole");
  EXPECT_EQ(proxy().books().totals.served.requests, 1u);
}

// The load of a large model may take longer than the server may with an answer.
TEST_F(HoldingTest, TheTimeForTheAnswerDoesNotCutTheWaitShort) {
  setup_.relay_limits.first_byte = std::chrono::seconds(1000);
  Exchange call = begin(generate());
  call.server.close();
  proxy().set_phase(ModelPhase::kUnhealthy);
  proxy().pass_time(std::chrono::seconds(2000));
  EXPECT_TRUE(call.client.is_silent());
  proxy().set_phase(ModelPhase::kReady);
  UpstreamConnectionInTest again = server_.accept();
  again.read_request();
  again.answer(200, "late but whole");
  EXPECT_EQ(call.client.read_response().body, "late but whole");
}

TEST_F(HoldingTest, AnAnswerThatHadBegunIsNotRepeated) {
  Exchange call = begin(generate());
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
  call.client.read_until("half");
  call.server.close();
  proxy().set_phase(ModelPhase::kUnhealthy);
  proxy().set_phase(ModelPhase::kReady);
  EXPECT_FALSE(server_.is_called());
  EXPECT_EQ(proxy().books().totals.errored.requests, 1u);
}

TEST_F(HoldingTest, TheClientMayLeaveMeanwhile) {
  Exchange call = begin(generate());
  call.server.close();
  proxy().set_phase(ModelPhase::kUnhealthy);
  call.client.reset();
  EXPECT_EQ(proxy().books().totals.cancelled.requests, 1u);
}

TEST_F(HoldingTest, ARequestThatKillsEveryServerIsGivenUp) {
  Exchange call = begin(generate());
  call.server.close();
  for (int restart = 0; restart < 2; ++restart) {
    proxy().set_phase(ModelPhase::kUnhealthy);
    proxy().set_phase(ModelPhase::kReady);
    UpstreamConnectionInTest again = server_.accept();
    again.read_request();
    again.close();
  }
  EXPECT_EQ(call.client.read_response().status(), 502);
  EXPECT_EQ(proxy().books().totals.errored.requests, 1u);
}

TEST_F(HoldingTest, AServerThatLivesAndClosesIsAnErrorAfterAMoment) {
  Exchange call = begin(generate());
  call.server.close();
  EXPECT_EQ(call.client.read_response().status(), 502);
}

TEST_F(HoldingTest, DrainingEndsTheWait) {
  Exchange call = begin(generate());
  call.server.close();
  proxy().set_phase(ModelPhase::kUnhealthy);
  proxy().set_phase(ModelPhase::kDraining);
  EXPECT_EQ(call.client.read_response().status(), 502);
}

// ---- requests that come while the server is away

TEST_F(HoldingTest, OneThatComesWhileTheServerIsRestartedWaitsForIt) {
  proxy().set_phase(ModelPhase::kUnhealthy);
  RawClient client = connect();
  client.send(generate(R"({"work": 3, "text": "b"})"));
  EXPECT_EQ(proxy().books().in_flight.size(), 1u) << "it is load of this worker";
  EXPECT_FALSE(server_.is_called());
  proxy().set_phase(ModelPhase::kReady);
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().body, R"({"work": 3, "text": "b"})");
  proxy().settle();
  EXPECT_EQ(proxy().core().newcomers, 0) << "it waits no more";
  server.answer(200, "late but whole");
  EXPECT_EQ(client.read_response().body, "late but whole");
  EXPECT_EQ(proxy().books().totals.served.requests, 1u);
}

TEST_F(HoldingTest, NoMoreWaitForAServerThanForTheirTurn) {
  setup_.settings.max_queue = 1;
  proxy().set_phase(ModelPhase::kUnhealthy);
  RawClient waiting = connect();
  waiting.send(generate());
  proxy().settle();
  RawMessage refused = connect().exchange(generate());
  expect_error(refused, 503, "worker: the inference server is being restarted");
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_EQ(proxy().books().totals.rejected.requests, 1u);
  waiting.reset();
  EXPECT_EQ(proxy().books().totals.cancelled.requests, 1u);
  RawClient next = connect();
  next.send(generate());
  EXPECT_EQ(proxy().books().in_flight.size(), 1u);
}

TEST_F(HoldingTest, OneThatWaitsInVainIsToldToComeAgain) {
  endpoint("POST", "/generate").max_queue_time = std::chrono::milliseconds(1);
  proxy().set_phase(ModelPhase::kUnhealthy);
  RawMessage refused = connect().exchange(generate());
  expect_error(refused, 503, "worker: the inference server is being restarted");
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_EQ(proxy().books().totals.errored.requests, 1u);
  EXPECT_EQ(proxy().counted(Counter::kUpstreamFailures), 0u) << "no server has failed at it";
}

TEST_F(HoldingTest, DrainingEndsTheWaitOfOneThatCameMeanwhile) {
  proxy().set_phase(ModelPhase::kUnhealthy);
  RawClient client = connect();
  client.send(generate());
  proxy().set_phase(ModelPhase::kDraining);
  EXPECT_EQ(client.read_response().status(), 503);
}

TEST_F(HoldingTest, AReplayThatComesWhileTheServerIsRestartedDoesNotWait) {
  const Route route = next_route();
  Exchange call = begin(generate(route));
  proxy().set_phase(ModelPhase::kUnhealthy);
  EXPECT_EQ(connect().exchange(generate(route)).status(), 401);
}

// Its client may be slow to read that, and slow to close.
TEST_F(HoldingTest, OneThatIsRefusedMeanwhileKeepsNobodyFromWaiting) {
  const Route route = next_route();
  Exchange call = begin(generate(route));
  proxy().set_phase(ModelPhase::kUnhealthy);
  RawClient refused = connect();
  EXPECT_EQ(
      refused
          .exchange(post_request("/generate", wrapped_body(route, R"({"work": 3})"), "Connection: close\r\n"))
          .status(),
      401);
  proxy().settle();
  EXPECT_EQ(proxy().core().connections, 2) << "it hasn't closed yet";
  EXPECT_EQ(proxy().core().newcomers, 0);
}

TEST(NewcomerTest, WaitsWhereItIsWorthIt) {
  using std::chrono::milliseconds;
  using std::chrono::seconds;
  struct Case {
    const char* what;
    ModelPhase phase;
    int away_s;
    double load_s;
    std::optional<int> patience_s;
    std::optional<int> waits_s;
  };
  constexpr int kHold = 300;
  const Case cases[] = {
      {"the clients' patience", ModelPhase::kUnhealthy, 10, 20, 60, 60},
      {"without one, the hold's", ModelPhase::kUnhealthy, 10, 20, {}, 290},
      {"an outage is held over once", ModelPhase::kUnhealthy, 280, 20, 60, 20},
      {"and not for ever", ModelPhase::kUnhealthy, 300, 20, 60, {}},
      {"it loads longer than they wait", ModelPhase::kUnhealthy, 10, 71, 60, {}},
      {"or just as long", ModelPhase::kUnhealthy, 10, 70, 60, 60},
      {"it should be there by now", ModelPhase::kUnhealthy, 100, 20, 60, 60},
      {"clients that don't wait", ModelPhase::kUnhealthy, 10, 0, 0, {}},
      {"the first load", ModelPhase::kLoading, 10, 0, 60, {}},
      {"the worker's end", ModelPhase::kDraining, 10, 20, 60, {}},
  };
  const LiveState::Clock::time_point now{seconds(10000)};
  for (const Case& c : cases) {
    LiveState live;
    live.phase = c.phase;
    live.since = now - seconds(c.away_s);
    live.load_seconds = c.load_s;
    std::optional<milliseconds> patience;
    if (c.patience_s) patience = seconds(*c.patience_s);
    const auto until = worth_holding(live, seconds(kHold), patience, now);
    ASSERT_EQ(until.has_value(), c.waits_s.has_value()) << c.what;
    if (until) {
      EXPECT_EQ(*until, now + seconds(*c.waits_s)) << c.what;
    }
  }
  LiveState live;
  live.phase = ModelPhase::kUnhealthy;
  live.since = now;
  EXPECT_FALSE(worth_holding(live, seconds(0), std::nullopt, now)) << "holding is switched off";
}

}  // namespace
}  // namespace cppworker
