// Who gets a WebSocket, and how it goes on; how it ends is in websocket_end_test.cpp.
#include "proxy/websocket_session.hpp"

#include <vector>

#include "proxy/websocket_upstream.hpp"
#include "tests/proxy/websocket_fixture.hpp"

namespace cppworker {
namespace {

using std::chrono::seconds;
using ::testing::HasSubstr;
using ::testing::Not;

class WebSocketSessionTest : public WebSocketTest {};
INSTANTIATE_TEST_SUITE_P(, WebSocketSessionTest, testing::Bool(),
                         [](const auto& tls) { return tls.param ? "UnderTls" : "Plain"; });

TEST_P(WebSocketSessionTest, ForwardsThePayloadOfTheFirstMessageAndThenAllThatComes) {
  RawClient client = upgrade("/stream?api_key=secret&a=1", "X-Custom: yes\r\nAuthorization: Bearer x\r\n");
  client.send(client_frame(kText, wrapped_body(next_route(), R"({ "work" : 3,  "text":"caf\u00e9" })")));
  RawMessage handshake;
  UpstreamConnectionInTest server = accept_upgrade(&handshake);
  EXPECT_EQ(handshake.start_line, "GET /stream?a=1 HTTP/1.1");
  EXPECT_EQ(handshake.header("Host"), server_.authority());
  EXPECT_EQ(handshake.header("X-Custom"), "yes");
  EXPECT_FALSE(handshake.has("Authorization"));
  EXPECT_FALSE(handshake.has("Sec-WebSocket-Extensions"));
  WireFrame first = read_frame(server);
  EXPECT_EQ(first.payload, R"({ "work" : 3,  "text":"caf\u00e9" })");
  EXPECT_TRUE(first.masked && first.last);
  EXPECT_EQ(first.opcode, kText);

  // Bytes as they are: fragments, pings and all.
  server.send(server_frame(kText, "one ", false) + server_frame(kPing, "?") +
              server_frame(kContinues, "two"));
  EXPECT_EQ(client.read_exactly(6 + 3 + 5),
            server_frame(kText, "one ", false) + server_frame(kPing, "?") + server_frame(kContinues, "two"));
  client.send(client_frame(kPong, "?") + client_frame(kBinary, std::string(70'000, 'b')));
  EXPECT_EQ(read_frame(server).opcode, kPong);
  EXPECT_EQ(read_frame(server).payload, std::string(70'000, 'b'));

  EXPECT_EQ(proxy().books().in_flight.size(), 1u);
  server.send(server_frame(kClose, close_payload(1000)));
  EXPECT_EQ(read_frame(client).code(), 1000u);
  client.send(client_frame(kClose, close_payload(1000)));
  EXPECT_EQ(read_frame(server).code(), 1000u);
  server.close();
  EXPECT_EQ(client.wait_for_end(), End::kEof);
  expect_booked(1, 0, 0);
  EXPECT_EQ(proxy().books().totals.served.work_milli, 3000);
}

TEST_P(WebSocketSessionTest, TakesAFlatFirstMessageToo) {
  RawClient client = upgrade();
  client.send(client_frame(kText, flat_body(next_route(), R"("work": 4, "text": "x")")));
  UpstreamConnectionInTest server = accept_upgrade();
  std::string payload = read_frame(server).payload;
  EXPECT_THAT(payload, HasSubstr(R"("work": 4, "text": "x")"));
  EXPECT_THAT(payload, Not(HasSubstr("signature")));
  EXPECT_EQ(proxy().books().in_flight_amount.work_milli, 4000);
}

// They stay for long, and anybody may open them.
TEST_P(WebSocketSessionTest, UnsignedOnesAtOnceAreFew) {
  std::vector<Conversation> talks;
  for (std::size_t i = 0; i < kMostUnsignedWebSockets; ++i) talks.push_back(open());
  RawClient client = connect();
  RawMessage refused = client.exchange(upgrade_request("/open-stream"));
  expect_error(refused, 429, "proxy: too many requests without a signature at once");
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_FALSE(server_.is_called());
  Exchange health = begin(get_request("/health"));
  health.server.answer(200, "well");
  EXPECT_EQ(health.client.read_response().status(), 200) << "who looks at the health isn't kept out by them";

  talks.front().client.reset();
  talks.front().server.wait_for_end();
  proxy().settle();
  open();
}

TEST_P(WebSocketSessionTest, RefusesWhoWasNotSent) {
  Route wrong_key = next_route(), elsewhere = next_route(), old = next_route();
  wrong_key.key = make_key(2048);
  elsewhere.url = "http://203.0.113.77:1";
  auto expect_refused = [&](const std::string& message, std::string_view reason) {
    RawClient client = upgrade();
    client.send(message);
    expect_close(client, 1008, "{\"error\":\"" + std::string(reason) + "\"}");
  };
  expect_refused(hello(wrong_key), "proxy: the signature is wrong");
  expect_refused(hello(elsewhere), "proxy: the signature is for another worker");
  {
    RawClient client = upgrade();
    client.send(client_frame(kText, R"({"work": 3})"));
    EXPECT_EQ(read_frame(client).code(), 1008u) << "unsigned";
    RawClient other = upgrade();
    other.send(client_frame(kText, "{"));
    EXPECT_EQ(read_frame(other).code(), 1008u) << "no JSON";
  }
  expect_server_not_called();
  EXPECT_EQ(proxy().books().totals, Totals{});

  Conversation first = converse(old);
  expect_refused(hello(old), "proxy: this request was seen before");
  first.server.close();
  expect_server_not_called();
  EXPECT_EQ(proxy().books().totals.received.requests, 1);
}

TEST_P(WebSocketSessionTest, TakesTheAuthFieldsFromTheQueryBeforeItAnswers) {
  RawClient client = connect();
  client.send(upgrade_request("/stream?x=1&" + query_of(next_route()), "Sec-WebSocket-Protocol: a, b\r\n"));
  UpstreamConnectionInTest server = server_.accept();
  RawMessage handshake = read_raw_head(server);
  EXPECT_EQ(handshake.target(), "/stream?x=1");
  EXPECT_EQ(handshake.header("Sec-WebSocket-Protocol"), "a, b");
  proxy().settle();
  EXPECT_TRUE(client.is_silent()) << "the server has the word";
  server.send(upgrade_answer(handshake, "Sec-WebSocket-Protocol: b\r\n") + server_frame(kText, "early"));
  RawMessage answer = read_raw_head(client);
  EXPECT_EQ(answer.status(), 101);
  EXPECT_EQ(answer.header("Sec-WebSocket-Protocol"), "b");
  EXPECT_EQ(answer.header("Sec-WebSocket-Accept"), kSampleAccept);
  EXPECT_EQ(read_frame(client).payload, "early");
  client.send(client_frame(kText, "as it is"));
  EXPECT_EQ(read_frame(server).payload, "as it is");
  EXPECT_EQ(proxy().books().in_flight_amount.work_milli, 5000) << "of no payload";
}

TEST_P(WebSocketSessionTest, RefusesAQueryBeforeThe101) {
  Route wrong = next_route();
  wrong.key = make_key(2048);
  RawClient client = connect();
  RawMessage refused = client.exchange(upgrade_request("/stream?" + query_of(wrong)));
  expect_error(refused, 401, "proxy: the signature is wrong");
  EXPECT_EQ(client.exchange(upgrade_request("/stream?cost=1&signature=a&signature=b")).status(), 422);
  EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong") << "the connection is as good as before";
  proxy().set_phase(ModelPhase::kLoading);
  RawMessage loading = client.exchange(upgrade_request("/stream?" + query_of(next_route())));
  EXPECT_EQ(loading.status(), 503);
  EXPECT_NE(loading.header("Retry-After"), "");
  expect_server_not_called();
  EXPECT_EQ(proxy().books().totals.rejected.requests, 1);
}

TEST_P(WebSocketSessionTest, ChoosesTheFirstProtocolWhereItCannotAskTheServer) {
  RawClient client = connect();
  client.send(upgrade_request("/stream", "Sec-WebSocket-Protocol: a, b\r\n"));
  EXPECT_EQ(read_raw_head(client).header("Sec-WebSocket-Protocol"), "a");
  client.send(hello());
  RawMessage handshake;
  UpstreamConnectionInTest server = accept_upgrade(&handshake, "Sec-WebSocket-Protocol: a\r\n");
  EXPECT_EQ(handshake.header("Sec-WebSocket-Protocol"), "a");
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
}

TEST_P(WebSocketSessionTest, AsksForNoSignatureAtAnOpenEndpoint) {
  Conversation talk = open();
  talk.client.send(client_frame(kText, "anything"));
  EXPECT_EQ(read_frame(talk.server).payload, "anything");
  EXPECT_EQ(proxy().books().totals, Totals{});
  proxy().set_phase(ModelPhase::kLoading);
  EXPECT_EQ(connect().exchange(upgrade_request("/open-stream")).status(), 503);
}

TEST_P(WebSocketSessionTest, RefusesWhatIsNoHandshake) {
  RawClient client = connect();
  RawMessage refused = client.exchange(get_request("/stream"));
  EXPECT_EQ(refused.status(), 426);
  EXPECT_EQ(refused.header("Sec-WebSocket-Version"), "13");
  EXPECT_EQ(client.exchange(post_request("/stream", "{}")).status(), 405);
  RawClient with_body = connect();
  EXPECT_EQ(with_body.exchange(upgrade_request("/stream", "Content-Length: 2\r\n") + "{}").status(), 400);
  EXPECT_EQ(with_body.wait_for_end(), End::kEof) << "its body would be read as the next request";
  expect_server_not_called();
}

TEST_P(WebSocketSessionTest, TakesAFirstMessageInFragmentsWithPingsBetweenThem) {
  RawClient client = upgrade();
  std::string message = wrapped_body(next_route(), R"({"work": 3})");
  client.send(client_frame(kPing, "before"));
  EXPECT_EQ(read_frame(client).payload, "before");
  client.send(client_frame(kText, message.substr(0, 20), false) + client_frame(kPing, "within"));
  WireFrame pong = read_frame(client);
  EXPECT_EQ(pong.opcode, kPong);
  EXPECT_EQ(pong.payload, "within");
  std::string rest = client_frame(kContinues, message.substr(20));
  for (char byte : rest.substr(0, 10)) client.send({&byte, 1});
  client.send(rest.substr(10) + client_frame(kText, "second") + client_frame(kText, "thi", false));
  UpstreamConnectionInTest server = accept_upgrade();
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
  EXPECT_EQ(read_frame(server).payload, "second");
  EXPECT_EQ(read_frame(server).payload, "thi");
  client.send(client_frame(kContinues, "rd"));
  EXPECT_EQ(read_frame(server).payload, "rd");
}

TEST_P(WebSocketSessionTest, RefusesFirstMessagesThatAreNone) {
  endpoint("GET", "/stream").max_body_bytes = 1000;
  setup_.connection_limits.first_message = seconds(1000);
  RawClient large = upgrade(), binary = upgrade(), bare = upgrade(), pinging = upgrade(), slow = upgrade();
  large.send(client_frame(kText, std::string(1001, 'x')));
  expect_close(large, 1009, "the message is too large");
  binary.send(client_frame(kBinary, wrapped_body(next_route(), "{}")));
  expect_close(binary, 1003, "proxy: the first message must be text");
  bare.send(server_frame(kText, "{}"));
  expect_close(bare, 1002, "a client's frame isn't masked");
  for (int i = 0; i < 33; ++i) pinging.send(client_frame(kPing, ""));
  for (int i = 0; i < 32; ++i) EXPECT_EQ(read_frame(pinging).opcode, kPong);
  EXPECT_EQ(read_frame(pinging).code(), 1008u);
  slow.send(client_frame(kText, "{").substr(0, 3));
  proxy().pass_time(seconds(500));
  EXPECT_TRUE(slow.is_silent());
  proxy().pass_time(seconds(2000));
  expect_close(slow, 1008, "proxy: the first message took too long to arrive");
  expect_server_not_called();
  EXPECT_EQ(proxy().books().totals, Totals{});
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
}

TEST_P(WebSocketSessionTest, GivesItsPlaceToANewcomerUntilItsFirstMessageIsHere) {
  setup_.settings.max_connections = 10;  // of which the last is kept free
  setup_.settings.address_share_percent = 0;
  Conversation conversation = converse();
  RawClient silent = upgrade();
  std::vector<RawClient> others;
  while (others.size() < 7) others.push_back(connect());
  proxy().settle();
  RawClient newcomer = connect();
  EXPECT_NE(silent.wait_for_end(), End::kOpen);
  conversation.client.send(client_frame(kText, "more"));
  EXPECT_EQ(read_frame(conversation.server).payload, "more");
}

TEST_P(WebSocketSessionTest, ChargesFirstMessagesToTheMemoryOfAllBodies) {
  setup_.settings.max_buffered_bytes = 200'000;
  RawClient client = upgrade();
  client.try_send(client_frame(kText, std::string(150'000, 'x')));
  EXPECT_EQ(read_frame(client).code(), 1013u);
  client.close();
  proxy().settle();
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
  Conversation talk = converse();
  proxy().settle();
  EXPECT_EQ(proxy().core().bodies.used(), 0u) << "it is with the server";
}

TEST_P(WebSocketSessionTest, WaitsForItsTurnAnsweringPingsAndHoldingData) {
  setup_.backend.max_concurrency = 1;
  Conversation busy = converse();
  RawClient waiting = upgrade();
  waiting.send(hello() + client_frame(kText, "two") + client_frame(kPing, "still here?"));
  WireFrame pong = read_frame(waiting);
  EXPECT_EQ(pong.opcode, kPong);
  EXPECT_EQ(pong.payload, "still here?");
  waiting.send(client_frame(kText, "three") + client_frame(kPing, "and now?"));
  EXPECT_EQ(read_frame(waiting).payload, "and now?");
  expect_server_not_called();
  EXPECT_EQ(proxy().books().in_flight.size(), 2u);

  busy.server.send(server_frame(kClose, close_payload(1000)));
  busy.server.close();
  UpstreamConnectionInTest server = accept_upgrade();
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
  EXPECT_EQ(read_frame(server).payload, "two");
  EXPECT_EQ(read_frame(server).payload, "three");
}

TEST_P(WebSocketSessionTest, TellsWhenTheQueueIsFull) {
  setup_.backend.max_concurrency = 1;
  setup_.settings.max_queue = 0;
  Conversation busy = converse();
  RawClient client = upgrade();
  client.send(hello());
  expect_close(client, 1013, R"({"error":"proxy: the queue is full"})");
  EXPECT_EQ(connect().exchange(upgrade_request("/stream?" + query_of(next_route()))).status(), 429);
  EXPECT_EQ(proxy().books().totals.rejected.requests, 2);
}

TEST_P(WebSocketSessionTest, GoesToTheEndpointsOwnServer) {
  ScriptedServer streaming;
  Url url;
  url.host = "127.0.0.1";
  url.port = streaming.port();
  endpoint("GET", "/stream").server = url;
  RawClient client = upgrade();
  client.send(hello());
  UpstreamConnectionInTest server = streaming.accept();
  RawMessage handshake = read_raw_head(server);
  EXPECT_EQ(handshake.header("Host"), streaming.authority());
  server.send(upgrade_answer(handshake));
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
  expect_server_not_called();
}

TEST_P(WebSocketSessionTest, IsHeldOverARestartUntilTheServerHasAnswered) {
  setup_.relay_limits.hold = seconds(60);
  RawClient client = upgrade();
  client.send(hello());
  UpstreamConnectionInTest dying = server_.accept();
  read_raw_head(dying);
  dying.close();
  proxy().set_phase(ModelPhase::kUnhealthy);
  client.send(client_frame(kPing, "?"));
  EXPECT_EQ(read_frame(client).opcode, kPong);
  proxy().set_phase(ModelPhase::kReady);
  UpstreamConnectionInTest server = accept_upgrade();
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
}

TEST_P(WebSocketSessionTest, WaitsForAServerThatIsBeingRestarted) {
  setup_.relay_limits.hold = seconds(60);
  RawClient client = upgrade();
  proxy().set_phase(ModelPhase::kUnhealthy);
  client.send(hello());
  proxy().settle();
  proxy().set_phase(ModelPhase::kReady);
  UpstreamConnectionInTest server = accept_upgrade();
  EXPECT_EQ(read_frame(server).payload, R"({"work": 3})");
}

TEST_P(WebSocketSessionTest, IsToldToComeAgainWhereItWaitedInVain) {
  setup_.relay_limits.hold = seconds(60);
  endpoint("GET", "/stream").max_queue_time = std::chrono::milliseconds(1);
  RawClient client = upgrade();
  proxy().set_phase(ModelPhase::kUnhealthy);
  client.send(hello());
  expect_close(client, 1013, R"({"error":"worker: the inference server is being restarted"})");
  expect_booked(0, 1, 0);
  EXPECT_EQ(proxy().counted(Counter::kUpstreamFailures), 0u);
}

TEST_P(WebSocketSessionTest, PassesOnWhyTheServerRefusesWhereNothingWasAnswered) {
  RawClient client = connect();
  client.send(upgrade_request("/stream?" + query_of(next_route())));
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  server.answer(404, "<html>no such page</html>", "Content-Type: text/html\r\n");
  RawMessage answer = client.read_response();
  EXPECT_EQ(answer.status(), 404);
  EXPECT_EQ(answer.body, "<html>no such page</html>");
  EXPECT_EQ(answer.header("Content-Type"), "text/html");
  EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong");

  RawClient other = upgrade();
  other.send(hello());
  UpstreamConnectionInTest again = server_.accept();
  read_raw_head(again);
  again.answer(404, "");
  expect_close(other, 1011, R"({"error":"inference server: refused the WebSocket with status 404"})");
  expect_booked(0, 2, 0);
}

TEST_P(WebSocketSessionTest, ARefusalWithoutABodySaysNoLength) {
  for (int status : {204, 304}) {
    RawClient client = connect();
    client.send(upgrade_request("/stream?" + query_of(next_route())));
    UpstreamConnectionInTest server = server_.accept();
    read_raw_head(server);
    server.send("HTTP/1.1 " + std::to_string(status) + " Nothing\r\n\r\n");
    RawMessage answer = client.read_head_response();
    EXPECT_EQ(answer.status(), status);
    EXPECT_FALSE(answer.has("Content-Length"));
    EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong");
  }
}

TEST_P(WebSocketSessionTest, DoesNotBelieveAServerThatIsNoWebSocketServer) {
  RawClient client = upgrade();
  client.send(hello());
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  server.send(
      "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
      "Sec-WebSocket-Accept: AAAAAAAAAAAAAAAAAAAAAAAAAAA=\r\n\r\n");
  expect_close(client, 1011, R"({"error":"inference server: its answer is no WebSocket's"})");
  RawClient other = connect();
  other.send(upgrade_request("/stream?" + query_of(next_route())));
  UpstreamConnectionInTest again = server_.accept();
  again.send("SSH-2.0-OpenSSH\r\n\r\n");
  EXPECT_EQ(other.read_response().status(), 502);
  server_.stop_listening();
  RawClient third = upgrade();
  third.send(hello());
  expect_close(third, 1011, R"({"error":"inference server: cannot be reached"})");
  expect_booked(0, 3, 0);
}

TEST_P(WebSocketSessionTest, DoesNotWaitForeverForTheServersHandshake) {
  RawClient client = upgrade(), asking = connect();
  client.send(hello());
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  asking.send(upgrade_request("/stream?" + query_of(next_route())));
  UpstreamConnectionInTest other = server_.accept();
  read_raw_head(other);
  proxy().pass_time(kUpstreamHandshake * 2);
  expect_close(client, 1001, R"({"error":"proxy: out of time"})");
  expect_error(asking.read_response(), 504, "inference server: no answer in time");
  EXPECT_NE(server.wait_for_end(), End::kOpen);
  EXPECT_NE(other.wait_for_end(), End::kOpen);
  expect_booked(0, 2, 0);
}

TEST_P(WebSocketSessionTest, DoesNotReadMoreOfEitherSideThanTheOtherTakes) {
  Conversation talk = converse();
  talk.server.send(server_frame(kBinary, std::string(100, 'x')));
  EXPECT_EQ(read_frame(talk.client).payload.size(), 100u);
  EXPECT_LT(send_until_stuck(talk.server), std::size_t{64} << 20);
  EXPECT_LT(send_until_stuck(talk.client), std::size_t{64} << 20);
}

TEST_P(WebSocketSessionTest, GoesOnWhileTheWorkerDrainsAndNoneBegins) {
  Conversation talk = converse();
  proxy().set_phase(ModelPhase::kDraining);
  EXPECT_EQ(proxy().books().in_flight.size(), 1u);
  talk.server.send(server_frame(kText, "on"));
  EXPECT_EQ(read_frame(talk.client).payload, "on");
  RawClient late = upgrade();
  late.send(hello());
  expect_close(late, 1013, R"({"error":"worker: shutting down"})");
  talk.server.send(server_frame(kClose, close_payload(1000)));
  talk.server.close();
  expect_booked(1, 0, 0);
}

TEST_P(WebSocketSessionTest, LetsAnyoneInWhereNoSignatureIsAskedFor) {
  setup_.settings.unsecured = true;
  RawClient client = upgrade();
  client.send(client_frame(kText, R"({"work": 7})"));
  UpstreamConnectionInTest server = accept_upgrade();
  EXPECT_EQ(read_frame(server).payload, R"({"work": 7})");
  EXPECT_EQ(proxy().books().in_flight_amount.work_milli, 7000);
}

}  // namespace
}  // namespace cppworker
