// What a client may try with a signature that it has: use it twice, at once, or to keep the others out.
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

class ReplayAttackTest : public SignedProxyTest {
 protected:
  // As far ahead as a reqnum goes: once accepted, every other one would be stale.
  Route far_ahead() {
    Route route = next_route();
    route.reqnum = 1'000'000'000'000;
    return route;
  }
  void expect_others_are_served() {
    Exchange call = begin(generate());
    call.server.answer(200, "ok", "Connection: close\r\n");
    EXPECT_EQ(call.client.read_response().status(), 200);
    EXPECT_EQ(proxy().counted(Counter::kAuthStale), 0u);
  }
};

// The Python worker looked, and then wrote: two of them passed.
TEST_F(ReplayAttackTest, OfTwelveIdenticalRequestsAtOnceOnePasses) {
  setup_.settings.threads = 4;
  std::string request = generate(next_route());
  std::vector<RawClient> clients;
  for (int i = 0; i < 12; ++i) clients.push_back(connect());
  proxy().settle();
  // While all threads stand still, so that they begin together.
  bool sent = false;
  proxy().on_each_thread([&](ProxyThread&) {
    if (!std::exchange(sent, true))
      for (RawClient& client : clients) client.send(request);
  });
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  server.answer(200, "ok");
  int passed = 0, refused = 0;
  for (RawClient& client : clients) {
    int status = client.read_response().status();
    passed += status == 200;
    refused += status == 401;
  }
  EXPECT_EQ(passed, 1);
  EXPECT_EQ(refused, 11);
  expect_server_not_called();
  EXPECT_EQ(proxy().books().totals.received.requests, 1);
  EXPECT_EQ(proxy().counted(Counter::kAuthReplayed), 11u);
}

TEST_F(ReplayAttackTest, AForgedReqnumKeepsNobodyOut) {
  Route forged = far_ahead(), other = far_ahead();
  forged.key = make_key(2048);
  other.url = "http://203.0.113.5:41235";
  EXPECT_EQ(connect().exchange(generate(forged)).status(), 401);
  EXPECT_EQ(connect().exchange(generate(other)).status(), 401);
  // One that was changed after it was signed.
  std::string body = wrapped_body(next_route(), "{}");
  std::string mark = "\"reqnum\": ";
  body.insert(body.find(mark) + mark.size(), "9999999");
  EXPECT_EQ(connect().exchange(post_request("/generate", body)).status(), 401);
  expect_others_are_served();
}

TEST_F(ReplayAttackTest, AUrlOnlySignaturesReqnumIsAnybodysAndKeepsNobodyOut) {
  Route route = far_ahead();
  route.covers = SignedText::kUrlOnly;
  Exchange call = begin(generate(route));
  call.server.answer(200, "ok", "Connection: close\r\n");
  EXPECT_EQ(call.client.read_response().status(), 200);
  expect_others_are_served();
}

TEST_F(ReplayAttackTest, NorDoesAGoodOneThatIsRefusedForAnotherReason) {
  setup_.backend.max_concurrency = 1;
  setup_.settings.max_queue = 0;
  Route route = far_ahead();
  EXPECT_EQ(connect().exchange(post_request("/generate", wrapped_body(route, "[]"))).status(), 422);
  EXPECT_EQ(connect().exchange(post_request("/nowhere", wrapped_body(route, "{}"))).status(), 404);
  EXPECT_EQ(connect()
                .exchange(post_request("/generate",
                                       wrapped_body(route, "{}", ", \"session_id\": \"abcdefghijklm\"")))
                .status(),
            410);
  proxy().set_phase(ModelPhase::kLoading);
  EXPECT_EQ(connect().exchange(generate(route)).status(), 503);
  EXPECT_EQ(connect().exchange(post_request("/session/create", wrapped_body(route, "{}"))).status(), 503);
  proxy().set_phase(ModelPhase::kReady);
  Exchange busy = begin(generate());
  EXPECT_EQ(connect().exchange(generate(route)).status(), 429);
  busy.server.answer(200, "ok", "Connection: close\r\n");
  EXPECT_EQ(busy.client.read_response().status(), 200);
  expect_others_are_served();
}

}  // namespace
}  // namespace cppworker
