// What was let in survives a restart of the inference server, as long as nothing of an answer had come.
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
  proxy().set_phase(ModelPhase::kReady);
  UpstreamConnectionInTest again = server_.accept();
  EXPECT_EQ(again.read_request().body, R"({"work": 3, "text": "a"})");
  again.answer(200, "late but whole");
  EXPECT_EQ(call.client.read_response().body, "late but whole");
  EXPECT_EQ(proxy().books().totals.served.requests, 1u);
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

}  // namespace
}  // namespace cppworker
