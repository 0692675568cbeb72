// How a WebSocket ends: for its client, for the inference server, and in the books.
#include <nlohmann/json.hpp>

#include "proxy/websocket_client.hpp"
#include "tests/proxy/noticed_soon.hpp"
#include "tests/proxy/websocket_fixture.hpp"

namespace cppworker {
namespace {

using std::chrono::seconds;

class WebSocketEndTest : public WebSocketTest {
 protected:
  WebSocketEndTest() {
    setup_.relay_limits.first_byte = seconds(1'000'000);
    setup_.relay_limits.websocket_idle = seconds(10'000);
    setup_.relay_limits.whole = seconds(10'000'000);
  }
  void speak(Conversation& talk, std::string_view text = "said") {
    talk.server.send(server_frame(kText, text));
    EXPECT_EQ(read_frame(talk.client).payload, text);
  }
  void expect_gone(UpstreamConnectionInTest& server) {
    server.read_to_end();
    EXPECT_NE(server.end(), End::kOpen);
  }
  // As much as the proxy reads, and little more, so that the end isn't held up on the client's own side.
  void send_until_unread(RawClient& client) {
    const std::string frame = client_frame(kBinary, std::string(32 << 10, 'x'));
    std::uint64_t read = 0;
    do {
      read = proxy().counted(Counter::kBytesFromClients);
      client.send(frame);
    } while (proxy().counted(Counter::kBytesFromClients) != read);
  }
  // Until the proxy doesn't get rid of its answers.
  void ping_until_stuck(RawClient& client) {
    const std::string pings = [] {
      std::string all;
      for (int i = 0; i < 100; ++i) all += client_frame(kPing, std::string(125, '?'));
      return all;
    }();
    std::uint64_t answered = 0;
    do {
      answered = proxy().counted(Counter::kBytesToClients);
      client.send(pings);
    } while (proxy().counted(Counter::kBytesToClients) != answered);
  }
  // Whichever way it leaves, within the time that is promised for it.
  void expect_noticed_soon(const std::function<InPhase()>& phase) {
    for (void (*leave)(RawClient&) :
         {+[](RawClient& client) { client.reset(); }, +[](RawClient& client) { client.close(); }})
      cppworker::expect_noticed_soon(proxy(), phase, leave);
  }
};
INSTANTIATE_TEST_SUITE_P(, WebSocketEndTest, testing::Bool(),
                         [](const auto& tls) { return tls.param ? "UnderTls" : "Plain"; });

TEST_P(WebSocketEndTest, TheClientLeavesBeforeItHasSaidWhoAsks) {
  RawClient client = upgrade(), other = upgrade(), polite = upgrade();
  client.close();
  other.send(hello().substr(0, 30));
  other.reset();
  polite.send(client_frame(kClose, close_payload(1001, "bye")));
  expect_close(polite, 1001, "");
  polite.close();
  expect_server_not_called();
  EXPECT_EQ(proxy().books().totals, Totals{});
  EXPECT_EQ(proxy().core().connections, 0);
}

TEST_P(WebSocketEndTest, TheClientLeavesWhileItWaitsForItsTurn) {
  setup_.backend.max_concurrency = 1;
  Conversation busy = converse();
  RawClient gone = upgrade(), closing = upgrade(), next = upgrade();
  for (RawClient* client : {&gone, &closing, &next}) {
    client->send(hello());
    proxy().settle();
  }
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 3u);
  gone.close();
  closing.send(client_frame(kClose, close_payload(1000)));
  expect_close(closing, 1000, "");
  proxy().settle();
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 1u);
  EXPECT_EQ(proxy().books().totals.cancelled.requests, 2);
  busy.server.close();
  UpstreamConnectionInTest server = accept_upgrade();
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
}

TEST_P(WebSocketEndTest, TheClientLeavesDuringTheServersHandshake) {
  RawClient client = upgrade(), asking = connect();
  client.send(hello());
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  client.close();
  expect_gone(server);
  asking.send(upgrade_request("/stream?" + query_of(next_route())));
  UpstreamConnectionInTest other = server_.accept();
  read_raw_head(other);
  asking.reset();
  expect_gone(other);
  expect_booked(0, 0, 2);
}

TEST_P(WebSocketEndTest, TheClientLeavesWithoutAWord) {
  Conversation silent = converse(), spoken = converse(), stuck = converse();
  silent.client.close();
  expect_gone(silent.server);
  speak(spoken);
  spoken.client.reset();
  expect_gone(spoken.server);
  send_until_stuck(stuck.server);
  stuck.client.reset();
  expect_gone(stuck.server);
  expect_booked(0, 0, 3);
}

// More than is held for it, so that the end behind it isn't read.
TEST_P(WebSocketEndTest, TheClientLeavesTheQueueWithMuchSentAhead) {
  setup_.backend.max_concurrency = 1;
  Conversation busy = converse();
  expect_noticed_soon([&] {
    auto client = std::make_unique<RawClient>(upgrade());
    client->send(hello() + client_frame(kBinary, std::string(100'000, 'x')));
    proxy().settle();
    EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 1u);
    return InPhase{std::move(client), until_one_more_is_cancelled(proxy())};
  });
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 0u);
}

// Its server computes, and reads nothing meanwhile.
TEST_P(WebSocketEndTest, TheClientLeavesWhileTheServerDoesNotRead) {
  std::vector<UpstreamConnectionInTest> servers;
  expect_noticed_soon([&] {
    Conversation talk = converse();
    send_until_unread(talk.client);
    servers.push_back(std::move(talk.server));
    return InPhase{std::make_unique<RawClient>(std::move(talk.client)), until_one_more_is_cancelled(proxy())};
  });
  for (UpstreamConnectionInTest& server : servers) expect_gone(server);
}

// What a client says last, and then goes without waiting for an answer, arrives where the server reads.
TEST_P(WebSocketEndTest, TheLastWordsOfAClientThatClosesArrive) {
  Conversation talk = converse();
  speak(talk);
  talk.client.send(client_frame(kText, "farewell") + client_frame(kClose, close_payload(1000)));
  talk.client.close();
  EXPECT_EQ(read_frame(talk.server).payload, "farewell");
  EXPECT_EQ(read_frame(talk.server).code(), 1000u);
  expect_gone(talk.server);
  expect_booked(1, 0, 0);
}

TEST_P(WebSocketEndTest, TheClientClosesInOrder) {
  Conversation talk = converse();
  speak(talk);
  talk.client.send(client_frame(kClose, close_payload(1000, "done")));
  WireFrame close = read_frame(talk.server);
  EXPECT_EQ(close.payload, close_payload(1000, "done"));
  talk.server.send(server_frame(kClose, close_payload(1000, "done")));
  talk.server.close();
  expect_close(talk.client, 1000, "done");
  expect_booked(1, 0, 0);
}

TEST_P(WebSocketEndTest, TheClientClosesBeforeItGotAnything) {
  Conversation talk = converse();
  talk.client.send(client_frame(kClose, close_payload(1000)));
  read_frame(talk.server);
  talk.server.close();
  expect_close(talk.client, 1000, "");
  expect_booked(0, 0, 1);
}

// An inference server that computes doesn't look at its connections.
TEST_P(WebSocketEndTest, AServerThatDoesNotAnswerACloseIsCutOff) {
  Conversation talk = converse();
  speak(talk);
  talk.client.send(client_frame(kClose, close_payload(1000)));
  read_frame(talk.server);
  talk.server.send(server_frame(kText, "still computing"));
  EXPECT_EQ(read_frame(talk.client).payload, "still computing");
  proxy().pass_time(kCloseWait * 2);
  expect_gone(talk.server);
  expect_close(talk.client, 1000, "");
  expect_booked(1, 0, 0);
}

TEST_P(WebSocketEndTest, AClientThatDoesNotAnswerACloseIsCutOff) {
  Conversation talk = converse();
  talk.server.send(server_frame(kClose, close_payload(1000)));
  EXPECT_EQ(read_frame(talk.client).code(), 1000u);
  proxy().pass_time(kCloseWait * 2);
  EXPECT_EQ(talk.client.wait_for_end(), End::kEof);
  expect_gone(talk.server);
  expect_booked(1, 0, 0);
}

TEST_P(WebSocketEndTest, TheServerSaysThatItFailed) {
  Conversation talk = converse();
  talk.server.send(server_frame(kClose, close_payload(1011, "out of memory")));
  talk.server.close();
  expect_close(talk.client, 1011, "out of memory");
  expect_booked(0, 1, 0);
}

TEST_P(WebSocketEndTest, TheServerSaysInAMessageThatItFailed) {
  Conversation talk = converse();
  talk.server.send(server_frame(kText, R"({"event": "fai)", false));
  talk.server.send(server_frame(kContinues, R"(led", "why": "?"})"));
  talk.server.send(server_frame(kClose, close_payload(1000)));
  talk.server.close();
  talk.client.read_to_end();
  expect_booked(0, 1, 0);
}

TEST_P(WebSocketEndTest, TheServerBreaksOffBetweenFrames) {
  Conversation talk = converse();
  speak(talk);
  talk.server.reset();
  expect_close(talk.client, 1011, R"({"error":"inference server: broke off"})");
  expect_booked(0, 1, 0);
}

TEST_P(WebSocketEndTest, TheServerBreaksOffInsideAFrame) {
  Conversation talk = converse();
  talk.server.send(server_frame(kText, "half of it").substr(0, 6));
  EXPECT_EQ(talk.client.read_exactly(6).size(), 6u);
  talk.server.close();
  EXPECT_THAT(talk.client.wait_for_end(), testing::AnyOf(End::kReset, End::kTruncated));
  expect_booked(0, 1, 0);
}

TEST_P(WebSocketEndTest, SilenceEndsItAndPingsAreSilence) {
  Conversation talk = converse();
  proxy().pass_time(seconds(20'000));
  EXPECT_TRUE(talk.client.is_silent()) << "the server may take its time for the first word";
  speak(talk);
  proxy().settle();
  talk.client.send(client_frame(kPing, "?"));
  EXPECT_EQ(read_frame(talk.server).payload, "?");
  talk.server.send(server_frame(kPong, "?"));
  EXPECT_EQ(read_frame(talk.client).payload, "?");
  proxy().pass_time(seconds(9'000));
  EXPECT_TRUE(talk.client.is_silent());
  proxy().pass_time(seconds(11'000));
  expect_close(talk.client, 1001, R"({"error":"proxy: out of time"})");
  expect_gone(talk.server);
  expect_booked(0, 1, 0);
}

TEST_P(WebSocketEndTest, AClientThatDoesNotReadIsCutOff) {
  setup_.relay_limits.write = seconds(100);
  Conversation talk = converse();
  send_until_stuck(talk.server);
  talk.client.send(client_frame(kText, "as if it were there"));
  proxy().pass_time(seconds(200));
  expect_gone(talk.server);
  talk.client.close();
  expect_booked(0, 0, 1);
  EXPECT_EQ(proxy().core().connections, 0);
}

// It has its place at the server by then, which a backend that serves one at a time has only one of.
TEST_P(WebSocketEndTest, AClientThatDoesNotReadItsPongsIsCutOff) {
  setup_.backend.max_concurrency = 1;
  setup_.relay_limits.write = seconds(100);
  Conversation busy = converse();
  RawClient client = upgrade();
  client.send(hello());
  ping_until_stuck(client);
  RawClient next = upgrade();
  next.send(hello());
  proxy().settle();
  busy.server.close();
  UpstreamConnectionInTest server = accept_upgrade();
  proxy().pass_time(seconds(200));
  expect_gone(server);
  UpstreamConnectionInTest following = accept_upgrade();
  EXPECT_EQ(read_frame(following).payload, R"({"work": 3})");
  EXPECT_EQ(proxy().books().totals.cancelled.requests, 1);
}

TEST_P(WebSocketEndTest, NoneLastsLongerThanAnyRequestMay) {
  setup_.relay_limits.whole = seconds(500);
  Conversation talk = converse();
  speak(talk);
  proxy().pass_time(seconds(1000));
  expect_close(talk.client, 1001, R"({"error":"proxy: out of time"})");
}

TEST_P(WebSocketEndTest, WaitingTooLongForItsTurn) {
  setup_.backend.max_concurrency = 1;
  endpoint("GET", "/stream").max_queue_time = std::chrono::milliseconds(1'000'000);
  Conversation busy = converse();
  RawClient client = upgrade(), asking = connect();
  client.send(hello());
  asking.send(upgrade_request("/stream?" + query_of(next_route())));
  proxy().pass_time(seconds(2000));
  expect_close(client, 1013, R"({"error":"proxy: waited too long for its turn"})");
  EXPECT_EQ(asking.read_response().status(), 429);
  expect_server_not_called();
}

TEST_P(WebSocketEndTest, OfManyAtOnceLeavesNothingBehind) {
  {
    std::vector<Conversation> talks;
    for (int i = 0; i < 20; ++i) talks.push_back(converse());
    for (Conversation& talk : talks) speak(talk);
    for (std::size_t i = 0; i < talks.size(); ++i)
      i % 2 == 0 ? talks[i].client.reset() : talks[i].server.reset();
    proxy().settle();
  }
  expect_booked(0, 10, 10);
  EXPECT_EQ(proxy().core().connections, 0);
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
}

// ---- in a session

TEST_P(WebSocketEndTest, TheEndOfItsSessionIsItsOwn) {
  Route route = next_route();
  RawMessage created = connect().exchange(post_request("/session/create", wrapped_body(route, "{}")));
  ASSERT_EQ(created.status(), 201);
  std::string id = nlohmann::json::parse(created.body)["session_id"];
  RawClient client = upgrade(), stranger = upgrade();
  std::string in_session = ", \"session_id\": \"" + id + "\"";
  client.send(client_frame(kText, wrapped_body(route, R"({"work": 3})", in_session)));
  UpstreamConnectionInTest server = accept_upgrade();
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
  stranger.send(client_frame(kText, wrapped_body(next_route(), "{}", in_session)));
  EXPECT_EQ(read_frame(stranger).code(), 1008u) << "it isn't the session's owner";

  std::string auth = nlohmann::json::parse(wrapped_body(route, "{}"))["auth_data"].dump();
  std::string ending = "{\"session_id\": \"" + id + "\", \"session_auth\": " + auth + "}";
  EXPECT_EQ(connect().exchange(post_request("/session/end", ending)).status(), 200);
  expect_close(client, 1008, R"({"error":"invalid session"})");
  server.wait_for_end();
  expect_booked(0, 0, 1);
}

}  // namespace
}  // namespace cppworker
