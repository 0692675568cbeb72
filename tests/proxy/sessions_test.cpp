// Sessions as clients see them (protocol section 5), from their creation to their end.
#include <nlohmann/json.hpp>

#include "proxy/counted.hpp"
#include "proxy/listener.hpp"
#include "proxy/session_keeper.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;

class SessionsTest : public SignedProxyTest {
 protected:
  SessionsTest() { endpoint("POST", "/close"); }

  static std::string creation(const Route& route, std::string_view terms = "{}") {
    return post_request("/session/create", wrapped_body(route, terms));
  }
  static json auth_data(const Route& route) { return json::parse(wrapped_body(route, "{}"))["auth_data"]; }

  // Opens a session and says its id.
  std::string open(const Route& route, std::string_view terms = "{}") {
    RawMessage response = connect().exchange(creation(route, terms));
    EXPECT_EQ(response.status(), 201) << response.body;
    return json::parse(response.body).value("session_id", "");
  }
  static std::string asking(const std::string& what, const std::string& id, const Route& route) {
    json body = {{"session_id", id}, {"session_auth", auth_data(route)}};
    return post_request("/session/" + what, body.dump());
  }
  RawMessage ask(const std::string& what, const std::string& id, const Route& route) {
    return connect().exchange(asking(what, id, route));
  }
  static std::string generate_in(const std::string& id, const Route& route) {
    return post_request("/generate",
                        wrapped_body(route, R"({"work": 3})", ", \"session_id\": \"" + id + "\""));
  }
  // A request of the session is served.
  void expect_served(const std::string& id, const Route& route) {
    Exchange call = begin(generate_in(id, route));
    call.server.answer(200, "ok", "Connection: close\r\n");
    EXPECT_EQ(call.client.read_response().body, "ok");
  }
  std::int64_t expiration(const std::string& id) {
    return proxy().ledger().find_session(id, unix_milliseconds()).second.expiration_unix_ms;
  }
  void on_the_thread(const std::function<void(ProxyThread&)>& work) {
    proxy().on_each_thread(work);
    proxy().settle();
  }
};

// ---- creation

TEST_F(SessionsTest, OneLivesFromItsCreationToItsEnd) {
  Route route = next_route();
  RawMessage created =
      connect().exchange(creation(route, R"({"lifetime": 30, "on_close_payload": {"a": 1}})"));
  ASSERT_EQ(created.status(), 201);
  std::string id = json::parse(created.body)["session_id"];
  EXPECT_EQ(id.size(), kSessionIdLength);

  RawMessage got = ask("get", id, route);
  EXPECT_EQ(got.status(), 200);
  json session = json::parse(got.body);
  EXPECT_EQ(session["auth_data"], auth_data(route));
  EXPECT_EQ(session["lifetime"], 30.0);
  EXPECT_EQ(session["expiration"], json::parse(created.body)["expiration"]);
  EXPECT_EQ(session["on_close_payload"], json({{"a", 1}}));
  EXPECT_EQ(ask("health", id, route).body, R"({"ok":true})");

  RawMessage ended = ask("end", id, route);
  EXPECT_EQ(ended.status(), 200);
  EXPECT_EQ(json::parse(ended.body), json({{"ended", true}, {"removed_session", id}}));
  EXPECT_EQ(ask("health", id, route).body, R"({"ok":false})");
  EXPECT_EQ(ask("get", id, route).status(), 400);
  EXPECT_EQ(ask("end", id, route).status(), 400);
  expect_server_not_called();
  EXPECT_EQ(proxy().counted(Counter::kSessionsCreated), 1u);
  EXPECT_EQ(proxy().counted(Counter::kSessionsEnded), 1u);
  EXPECT_EQ(proxy().books().sessions, 0u);
}

TEST_F(SessionsTest, CreationIsNoLoad) {
  Route route = next_route();
  route.request_idx = 41;
  open(route);
  LedgerSnapshot books = proxy().books();
  EXPECT_EQ(books.totals, Totals{});
  EXPECT_EQ(books.distinct_reqnums, 0u);
  EXPECT_EQ(books.succeeded.waiting + books.failed.waiting, 0u);
  EXPECT_EQ(books.sessions, 1u);
}

TEST_F(SessionsTest, CreationIsCheckedLikeAnySignedRequest) {
  Route forged = next_route(), other = next_route();
  forged.key = make_key(2048);
  other.url = "http://203.0.113.5:41235";
  EXPECT_EQ(connect().exchange(creation(forged)).status(), 401);
  EXPECT_EQ(connect().exchange(creation(other)).status(), 401);
  EXPECT_EQ(connect().exchange(post_request("/session/create", R"({"lifetime": 1})")).status(), 401);
  EXPECT_EQ(connect().exchange(post_request("/session/create", "{")).status(), 422);
  EXPECT_EQ(connect().exchange(creation(next_route(), R"({"lifetime": -1})")).status(), 422);
  EXPECT_EQ(connect().exchange(creation(next_route(), R"({"on_close_route": "/secret"})")).status(), 422);
  // A flat body says nothing of whose it is.
  EXPECT_EQ(connect().exchange(post_request("/session/create", flat_body(next_route(), "\"a\": 1"))).status(),
            422);
  EXPECT_EQ(proxy().books().sessions, 0u);
}

TEST_F(SessionsTest, ABodyWithoutItsLengthIsA411) {
  for (const char* what : {"create", "get", "health", "end"}) {
    RawClient client = connect();
    RawMessage response =
        client.exchange("POST /session/" + std::string(what) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    expect_error(response, 411, "proxy: the body's length is missing");
    EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong");
  }
}

TEST_F(SessionsTest, ASignedCreationIsGoodOnce) {
  Route route = next_route();
  open(route);
  expect_error(connect().exchange(creation(route)), 401, "proxy: this request was seen before");
  // Nor is it good for anything else, outside its session.
  expect_error(connect().exchange(generate(route)), 401, "proxy: this request was seen before");
  Route late = route, latest = route;
  late.reqnum = 200;
  latest.reqnum = 500;
  open(latest);
  expect_error(connect().exchange(creation(late)), 401, "proxy: this request is too old");
  EXPECT_EQ(proxy().counted(Counter::kAuthReplayed), 2u);
  EXPECT_EQ(proxy().counted(Counter::kAuthStale), 1u);
}

// A url-only signature is good for ever and for everybody, so that it can't tell one client from another. Its
// reqnum does, as long as the client leaves that as it was: this is for a client that repeats itself. For one
// that writes numbers of its own there is the address's share, below.
TEST_F(SessionsTest, OneRouteHasAShareOfThemWhateverElseItsAuthDataSays) {
  setup_.settings.max_sessions = 8;
  Route route = next_route(), other = next_route();
  route.covers = other.covers = SignedText::kUrlOnly;
  std::string first = open(route);
  Route varied = route;
  varied.cost = "18";
  varied.endpoint = "another";
  varied.request_idx = 5;
  open(varied);
  RawMessage refused = connect().exchange(creation(route));
  EXPECT_EQ(refused.status(), 429);
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_THAT(refused.body, testing::HasSubstr("end one, or ask for another route"));
  open(other);
  EXPECT_EQ(ask("end", first, route).status(), 200);
  open(route);
}

TEST_F(SessionsTest, OneAddressHasAShareOfThemWhicheverRoutesItShows) {
  setup_.settings.max_sessions = 4;
  std::vector<Route> routes;
  for (int i = 0; i < 4; ++i) {
    routes.push_back(next_route());
    routes.back().covers = SignedText::kUrlOnly;
  }
  open(routes[0]);
  open(routes[1]);
  RawMessage refused = connect().exchange(creation(routes[2]));
  EXPECT_EQ(refused.status(), 429);
  EXPECT_NE(refused.header("Retry-After"), "");
  EXPECT_THAT(refused.body, testing::HasSubstr("one client address"));
  EXPECT_EQ(RawClient(proxy().port(), "127.0.0.2").exchange(creation(routes[3])).status(), 201);
}

TEST_F(SessionsTest, ARefusedCreationUsesNothingUp) {
  setup_.settings.max_sessions = 1;
  Route first = next_route(), second = next_route();
  std::string id = open(first);
  RawMessage full = connect().exchange(creation(second));
  EXPECT_EQ(full.status(), 429);
  EXPECT_NE(full.header("Retry-After"), "");
  EXPECT_EQ(proxy().counted(Counter::kSessionsRefusedFull), 1u);
  EXPECT_EQ(ask("end", id, first).status(), 200);
  open(second);
}

TEST_F(SessionsTest, AWorkerThatIsNotReadyOpensNoneAndKeepsThoseThatThereAre) {
  Route route = next_route(), another = next_route();
  std::string id = open(route);
  for (ModelPhase phase : {ModelPhase::kLoading, ModelPhase::kUnhealthy, ModelPhase::kDraining}) {
    proxy().set_phase(phase);
    EXPECT_EQ(connect().exchange(creation(another)).status(), 503);
    EXPECT_EQ(ask("health", id, route).body, R"({"ok":true})");
  }
  EXPECT_EQ(ask("end", id, route).status(), 200);
  proxy().set_phase(ModelPhase::kReady);
  open(another);
}

TEST_F(SessionsTest, AWorkerThatHoldsRequestsOverARestartOpensOnesMeanwhile) {
  setup_.relay_limits.hold = std::chrono::seconds(60);
  proxy().set_phase(ModelPhase::kUnhealthy);
  open(next_route());
}

TEST_F(SessionsTest, WithoutSignaturesTheAuthDataAreWhateverTheClientSays) {
  setup_.settings.unsecured = true;
  RawMessage created =
      connect().exchange(post_request("/session/create", R"({"auth_data": {"me": 1}, "payload": {}})"));
  ASSERT_EQ(created.status(), 201);
  std::string id = json::parse(created.body)["session_id"];
  json asking = {{"session_id", id}, {"session_auth", {{"me", 2}}}};
  EXPECT_EQ(connect().exchange(post_request("/session/end", asking.dump())).status(), 401);
  asking["session_auth"]["me"] = 1;
  EXPECT_EQ(connect().exchange(post_request("/session/end", asking.dump())).status(), 200);
}

TEST_F(SessionsTest, TheRoutesAreForPostAlone) {
  for (const char* path : {"/session/create", "/session/get", "/session/health", "/session/end"}) {
    RawMessage response = connect().exchange(get_request(path));
    EXPECT_EQ(response.status(), 405) << path;
    EXPECT_EQ(response.header("Allow"), "POST");
  }
  EXPECT_EQ(connect().exchange(post_request("/session/", "{}")).status(), 404);
  EXPECT_EQ(connect().exchange(post_request("/session/end", std::string(100'000, ' '))).status(), 413);
}

TEST_F(SessionsTest, OnlyItsCreatorIsToldOfASession) {
  Route route = next_route(), other = next_route();
  std::string id = open(route);
  for (const char* what : {"get", "health", "end"}) EXPECT_EQ(ask(what, id, other).status(), 401) << what;
  EXPECT_EQ(proxy().counted(Counter::kSessionsRefusedOwner), 3u);
  EXPECT_EQ(ask("health", id, route).body, R"({"ok":true})");
}

// ---- requests inside a session

TEST_F(SessionsTest, ItsRequestsCarryTheAuthDataThatCreatedIt) {
  for (auto covers : {SignedText::kFull, SignedText::kUrlOnly}) {
    Route route = next_route();
    route.covers = covers;
    std::string id = open(route);
    for (int i = 0; i < 3; ++i) expect_served(id, route);
  }
  EXPECT_EQ(proxy().books().totals.served.requests, 6);
  EXPECT_EQ(proxy().counted(Counter::kAuthReplayed), 0u);
  EXPECT_THAT(proxy().core().session_requests.ids(), IsEmpty());
}

TEST_F(SessionsTest, OtherAuthDataDoesNotOpenItHoweverWellItIsSigned) {
  Route route = next_route(), other = next_route();
  std::string id = open(route);
  std::int64_t before = expiration(id);
  expect_error(connect().exchange(generate_in(id, other)), 401,
               "proxy: not the auth_data that created the session");
  EXPECT_EQ(expiration(id), before);
  EXPECT_EQ(proxy().books().totals, Totals{});
  // It wasn't used up.
  Exchange call = begin(generate(other));
  call.server.answer(200, "ok");
}

TEST_F(SessionsTest, AnEndedSessionIsAReplay) {
  Route route = next_route();
  std::string id = open(route);
  EXPECT_EQ(ask("end", id, route).status(), 200);
  RawMessage response = connect().exchange(generate_in(id, route));
  EXPECT_EQ(response.status(), 410);
  EXPECT_EQ(response.body, R"({"error":"invalid session"})");
  EXPECT_EQ(proxy().counted(Counter::kSessionsRefusedUnknown), 1u);
  EXPECT_EQ(connect().exchange(generate(route)).status(), 401);
}

// The Python worker prolonged the session, and entered the request into it, before it looked at the
// signature.
TEST_F(SessionsTest, NothingOfASessionIsTouchedByAForgedRequest) {
  Route route = next_route();
  std::string id = open(route);
  std::int64_t before = expiration(id);
  Route forged = route;
  forged.key = make_key(2048);
  EXPECT_EQ(connect().exchange(generate_in(id, forged)).status(), 401);
  EXPECT_EQ(expiration(id), before);
  EXPECT_THAT(proxy().core().session_requests.ids(), IsEmpty());
}

// The Python worker kept what it had refused among the session's requests.
TEST_F(SessionsTest, ARequestThatIsRefusedIsNoneOfTheSessions) {
  setup_.backend.max_concurrency = 1;
  setup_.settings.max_queue = 0;
  Route route = next_route();
  std::string id = open(route);
  Exchange busy = begin(generate());
  auto client = connect();
  EXPECT_EQ(client.exchange(generate_in(id, route)).status(), 429);
  // The next answer on the connection says that the request before it is over.
  EXPECT_EQ(client.exchange(get_request("/ping")).status(), 200);
  EXPECT_THAT(proxy().core().session_requests.ids(), IsEmpty());
}

TEST_F(SessionsTest, EachRequestPushesTheExpirationOn) {
  Route route = next_route();
  std::string id = open(route, R"({"lifetime": 3600})");
  // As if it had been used half an hour ago.
  Ledger& ledger = proxy().ledger();
  SessionRecord record = ledger.find_session(id, unix_milliseconds()).second;
  ledger.remove_session(id);
  NewSession older{record.id, record.auth_digest, record.lifetime_ms, record.auth_data, {}, {}};
  ledger.create_session(older, 10, unix_milliseconds() - 1'800'000);
  std::int64_t before = expiration(id);
  expect_served(id, route);
  EXPECT_GE(expiration(id), before + 1'800'000);
}

// ---- the end

TEST_F(SessionsTest, TheEndCutsItsOpenRequestsOff) {
  Route route = next_route();
  std::string id = open(route);
  Exchange waiting = begin(generate_in(id, route));
  Exchange streaming = begin(generate_in(id, route));
  streaming.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(streaming.client);
  read_chunk(streaming.client);
  Exchange stranger = begin(generate());

  EXPECT_EQ(ask("end", id, route).status(), 200);
  EXPECT_EQ(waiting.client.read_response().status(), 410);
  EXPECT_EQ(waiting.server.wait_for_end(), End::kEof);
  streaming.client.read_to_end();
  EXPECT_EQ(streaming.client.end(), End::kReset);
  EXPECT_EQ(proxy().books().totals.cancelled.requests, 2);
  EXPECT_EQ(proxy().told(), 1) << "another proxy may have requests of it";
  stranger.server.answer(200, "ok");
  EXPECT_EQ(stranger.client.read_response().body, "ok");
}

TEST_F(SessionsTest, TheEndDoesNotWaitForAClientThatDoesNotRead) {
  Route route = next_route();
  std::string id = open(route);
  Exchange call = begin(generate_in(id, route));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  send_until_stuck(call.server);
  EXPECT_EQ(ask("end", id, route).status(), 200);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  LedgerSnapshot books = proxy().books();
  EXPECT_THAT(books.in_flight, IsEmpty());
  EXPECT_EQ(books.totals.cancelled.requests, 1);
}

// The server is told of the end when nothing of the session goes on there any more.
TEST_F(SessionsTest, TheEndIsToldWhenItsOpenRequestsHaveEnded) {
  Route route = next_route();
  std::string id = open(route, R"({"on_close_route": "/close"})");
  // A request whose thread hasn't come to ending it yet.
  bool told = false;
  SessionRequests::Handle slow;
  on_the_thread([&](ProxyThread& thread) {
    slow = thread.core.session_requests.add(id, thread.io.get_executor(), [&] { told = true; });
  });
  RawClient client = connect();
  client.send(asking("end", id, route));
  proxy().settle();
  on_the_thread([&](ProxyThread&) { EXPECT_TRUE(told); });
  EXPECT_FALSE(server_.is_called());
  on_the_thread([&](ProxyThread&) { slow = {}; });
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().target(), "/close");
  server.answer(200, "");
  EXPECT_EQ(client.read_response().status(), 200);
}

TEST_F(SessionsTest, TheEndReachesARequestInTheQueue) {
  setup_.backend.max_concurrency = 1;
  Route route = next_route();
  std::string id = open(route);
  Exchange first = begin(generate());
  RawClient queued = connect();
  queued.send(generate_in(id, route));
  proxy().settle();
  EXPECT_EQ(ask("end", id, route).status(), 200);
  EXPECT_EQ(queued.read_response().status(), 410);
  EXPECT_EQ(proxy().core().endpoints.admissions().front().queued(), 0u);
  EXPECT_EQ(proxy().books().totals.cancelled.requests, 1);
}

TEST_F(SessionsTest, TheEndIsToldToTheInferenceServer) {
  Route route = next_route();
  std::string id =
      open(route, R"({"on_close_route": "/close", "on_close_payload": {"job": 7, "session_id": "x"}})");
  RawClient client = connect();
  client.send(asking("end", id, route));
  UpstreamConnectionInTest server = server_.accept();
  RawMessage told = server.read_request();
  EXPECT_EQ(told.target(), "/close");
  EXPECT_EQ(told.header("Content-Type"), "application/json");
  EXPECT_EQ(json::parse(told.body), json({{"job", 7}, {"session_id", id}}));
  // Meanwhile it is closing, for everybody else.
  EXPECT_EQ(ask("end", id, route).status(), 410);
  EXPECT_EQ(proxy().books().in_flight.size(), 1u) << "it is load like any request";
  EXPECT_TRUE(client.is_silent());
  server.answer(500, "no");
  EXPECT_EQ(client.read_response().status(), 200);
  EXPECT_THAT(proxy().books().in_flight, IsEmpty());
}

TEST_F(SessionsTest, TheCallAtItsEndIsWorkThatWasServed) {
  endpoint("POST", "/close").workload = Workload::compile("payload.work").value();
  Route route = next_route();
  std::string id = open(route, R"({"on_close_route": "/close", "on_close_payload": {"work": 5}})");
  RawClient client = connect();
  client.send(asking("end", id, route));
  UpstreamConnectionInTest server = server_.accept();
  server.read_request();
  server.answer(200, "");
  EXPECT_EQ(client.read_response().status(), 200);
  LedgerSnapshot books = proxy().books();
  EXPECT_EQ(books.totals.received.work_milli, 5000);
  EXPECT_EQ(books.totals.served.work_milli, 5000);
  EXPECT_EQ(books.succeeded.waiting + books.failed.waiting, 0u) << "the autoscaler knows no index of it";
}

TEST_F(SessionsTest, AServerThatCannotBeToldDoesNotKeepTheSession) {
  Route route = next_route();
  std::string id = open(route, R"({"on_close_route": "/close"})");
  server_.stop_listening();
  EXPECT_EQ(ask("end", id, route).status(), 200);
  EXPECT_EQ(proxy().books().sessions, 0u);
}

TEST_F(SessionsTest, AServerThatDoesOneThingAtATimeIsToldInItsTurn) {
  setup_.backend.max_concurrency = 1;
  Route route = next_route();
  std::string id = open(route, R"({"on_close_route": "/close"})");
  Exchange first = begin(generate());
  RawClient client = connect();
  client.send(asking("end", id, route));
  expect_server_not_called();
  first.server.answer(200, "ok");
  EXPECT_EQ(first.client.read_response().body, "ok");
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(server.read_request().target(), "/close");
  server.answer(200, "");
  EXPECT_EQ(client.read_response().status(), 200);
  EXPECT_EQ(proxy().core().endpoints.admissions().front().inside(), 0u);
}

TEST_F(SessionsTest, ExpiredOnesAreSwept) {
  Route route = next_route(), lasting = next_route();
  std::string id = open(route, R"({"lifetime": 60, "on_close_route": "/close"})");
  std::string other = open(lasting, R"({"lifetime": 600})");
  Exchange call = begin(generate_in(id, route));
  on_the_thread([](ProxyThread& thread) { sweep_sessions(thread, unix_milliseconds()); });
  EXPECT_EQ(proxy().books().sessions, 2u);
  on_the_thread([](ProxyThread& thread) { sweep_sessions(thread, unix_milliseconds() + 120'000); });
  EXPECT_EQ(call.client.read_response().status(), 410);
  UpstreamConnectionInTest server = server_.accept();
  EXPECT_EQ(json::parse(server.read_request().body)["session_id"], id);
  server.answer(200, "");
  server.wait_for_end();
  proxy().settle();
  EXPECT_EQ(proxy().books().sessions, 1u);
  EXPECT_EQ(proxy().counted(Counter::kSessionsExpired), 1u);
  EXPECT_EQ(ask("health", other, lasting).body, R"({"ok":true})");
}

TEST_F(SessionsTest, AnEndInAnotherProxyReachesTheRequestsHere) {
  Route route = next_route(), lasting = next_route();
  std::string id = open(route), other = open(lasting);
  Exchange call = begin(generate_in(id, route)), going_on = begin(generate_in(other, lasting));
  auto look = [&] {
    on_the_thread([](ProxyThread& thread) { look_after_session_requests(thread.core, unix_milliseconds()); });
  };
  look();
  EXPECT_TRUE(call.client.is_silent());
  EXPECT_EQ(proxy().told(), 0);
  ASSERT_EQ(proxy().ledger().begin_close_session(id, unix_milliseconds()).first, SessionVerdict::kOpen);
  look();
  EXPECT_EQ(call.client.read_response().status(), 410);
  EXPECT_EQ(call.server.wait_for_end(), End::kEof);
  EXPECT_TRUE(going_on.client.is_silent());
}

// ---- the sessions' own port

TEST_F(SessionsTest, TheirOwnPortEndsThemAndDoesNothingElse) {
  Route route = next_route();
  std::string id = open(route);
  auto at_the_port = [&](std::string_view request) {
    return RawClient(proxy().session_port()).exchange(request);
  };
  for (const std::string& request : {get_request("/ping"), get_request("/health"), creation(next_route()),
                                     asking("get", id, route), generate()})
    EXPECT_EQ(at_the_port(request).status(), 404) << request;
  EXPECT_EQ(at_the_port(get_request("/session/end")).status(), 405);
  EXPECT_EQ(at_the_port(asking("end", id, next_route())).status(), 401);
  EXPECT_EQ(at_the_port(asking("end", id, route)).status(), 200);
  expect_server_not_called();
}

TEST_F(SessionsTest, ThoseWhoFillThePublicPortDoNotFillThatOne) {
  setup_.settings.max_connections = 2;
  Route route = next_route();
  std::string id = open(route);
  const Counted stranger(proxy().core().connections), another(proxy().core().connections);
  EXPECT_EQ(connect().read_response().status(), 503);
  EXPECT_EQ(RawClient(proxy().session_port()).exchange(asking("end", id, route)).status(), 200);
}

TEST_F(SessionsTest, NorDoTheyFillThePublicOne) {
  std::vector<RawClient> crowd;
  for (std::size_t i = 0; i < kMostSessionConnections + 1; ++i) crowd.emplace_back(proxy().session_port());
  proxy().settle();
  EXPECT_EQ(proxy().core().session_connections, static_cast<std::int64_t>(kMostSessionConnections));
  EXPECT_EQ(proxy().core().connections, 0);
  crowd.clear();
  proxy().settle();
  EXPECT_EQ(proxy().core().session_connections, 0);
}

}  // namespace
}  // namespace cppworker
