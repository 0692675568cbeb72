// A request's way up to the inference server: endpoint, signature, phase. What is refused on it leaves the
// books as they were, but for the load that an authenticated request means.
#include "proxy/handler_chain.hpp"

#include "proxy/checker.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

class HandlerChainTest : public SignedProxyTest {
 protected:
  // The answer to a request that gets no further than the proxy.
  RawMessage refused(std::string_view request) {
    RawMessage response = connect().exchange(request);
    expect_server_not_called();
    return response;
  }
  RawMessage refused_body(std::string_view body) { return refused(post_request("/generate", body)); }

  // What reaches the server of this body.
  std::string forwarded(std::string_view body) {
    Exchange call = begin(post_request("/generate", body));
    call.server.answer(200, "ok", "Connection: close\r\n");
    EXPECT_EQ(call.client.read_response().body, "ok");
    return call.request.body;
  }

  void expect_books_untouched() {
    LedgerSnapshot books = proxy().books();
    EXPECT_EQ(books.totals, Totals{});
    EXPECT_EQ(books.distinct_reqnums, 0u);
    EXPECT_EQ(books.succeeded.waiting + books.failed.waiting, 0u);
  }
};

// ---- endpoint

TEST_F(HandlerChainTest, AnUnknownPathIsA404) {
  for (const char* target : {"/", "/generat", "/generate/", "/Generate", "//generate", "/generate%3f"}) {
    RawMessage response = refused(get_request(target));
    EXPECT_EQ(response.status(), 404) << target;
    EXPECT_EQ(response.body, R"({"error":"proxy: no such endpoint"})");
  }
  EXPECT_EQ(proxy().counted(Counter::kBadRequest404), 6u);
  expect_books_untouched();
}

// The oldest Python worker let its log reader report here, and whoever else knew the default token.
TEST_F(HandlerChainTest, NobodyReportsToTheWorkerOnThePublicPort) {
  for (const char* path : {"/report_capacity", "/report_loaded", "/report_done", "/report_error"})
    EXPECT_EQ(refused(post_request(path, R"({"mtoken": "mtoken"})")).status(), 404) << path;
}

TEST_F(HandlerChainTest, AKnownPathWithAnotherMethodIsA405ThatNamesTheMethods) {
  RawMessage response = refused(post_request("/health", "{}"));
  expect_error(response, 405, "proxy: no such method for this endpoint");
  EXPECT_EQ(response.header("Allow"), "GET, HEAD");
  EXPECT_EQ(refused("BREW /open HTTP/1.1\r\nHost: h\r\n\r\n").header("Allow"), "POST, PUT");
  EXPECT_EQ(proxy().counted(Counter::kBadRequest405), 2u);
  expect_books_untouched();
}

TEST_F(HandlerChainTest, TheQueryDoesNotMatterToTheEndpoint) {
  EXPECT_EQ(begin(get_request("/health?deep=1")).request.target(), "/health?deep=1");
  EXPECT_EQ(begin(get_request("/health?")).request.target().substr(0, 7), "/health");
}

TEST_F(HandlerChainTest, PingIsAnsweredInAnyPhase) {
  for (ModelPhase phase :
       {ModelPhase::kLoading, ModelPhase::kReady, ModelPhase::kUnhealthy, ModelPhase::kDraining}) {
    proxy().set_phase(phase);
    RawMessage response = refused(get_request("/ping"));
    EXPECT_EQ(response.status(), 200);
    EXPECT_EQ(response.body, "pong");
  }
  expect_books_untouched();
}

// ---- authenticate

TEST_F(HandlerChainTest, OnlyThePayloadOfAWrappedBodyIsForwarded) {
  std::string payload = "{ \"work\" : 3.50, \"prompt\":\"\\u00e9 \xc3\xa9\",\"a\":[1e5 , -0]}";
  EXPECT_EQ(forwarded(wrapped_body(next_route(), payload)), payload);
  EXPECT_EQ(forwarded(wrapped_body(next_route(), payload, ", \"session_id\": null")), payload);
}

TEST_F(HandlerChainTest, AFlatBodyIsForwardedWithoutItsAuthMembers) {
  std::string members = "\"work\" : 3.50,\"prompt\":\"\\u00e9\"";
  EXPECT_EQ(nlohmann::json::parse(forwarded(flat_body(next_route(), members))),
            nlohmann::json::parse("{" + members + "}"));
}

TEST_F(HandlerChainTest, ASignatureOfTheUrlAloneServesAnyNumberOfRequests) {
  Route route;
  route.covers = SignedText::kUrlOnly;
  for (int i = 0; i < 3; ++i) EXPECT_EQ(forwarded(wrapped_body(route, "{}")), "{}");
  EXPECT_EQ(proxy().books().totals.served.requests, 3);
  EXPECT_EQ(proxy().counted(Counter::kSignatureCacheHits), 2u);
}

TEST_F(HandlerChainTest, WithoutASignatureIsA401) {
  for (const char* body : {"{}", R"({"inputs": "x"})", R"({"auth_data": {}, "payload": {}})"}) {
    RawMessage response = refused_body(body);
    EXPECT_TRUE(response.status() == 401 || response.status() == 422) << body;
  }
  EXPECT_EQ(refused_body(R"({"inputs": "x"})").status(), 401);
  EXPECT_GE(proxy().counted(Counter::kAuthMissing), 1u);
  expect_books_untouched();
}

TEST_F(HandlerChainTest, AWrongSignatureIsA401) {
  static const auto stranger = make_key(2048);
  Route forged = next_route();
  forged.key = stranger;
  forged.request_idx = 41;  // which the autoscaler must not hear of
  expect_error(refused_body(wrapped_body(forged, "{}")), 401, "proxy: the signature is wrong");
  // One that was made for another cost.
  std::string body = wrapped_body(next_route(), "{}");
  body.replace(body.find("\"cost\": 17"), 10, "\"cost\": 18");
  expect_error(refused_body(body), 401, "proxy: the signature is wrong");
  EXPECT_EQ(proxy().counted(Counter::kAuthWrongSignature), 2u);
  expect_books_untouched();
}

TEST_F(HandlerChainTest, ASignatureForAnotherWorkerIsA401) {
  for (auto covers : {SignedText::kFull, SignedText::kUrlOnly}) {
    Route other = next_route();
    other.covers = covers;
    other.url = "http://203.0.113.5:41235";
    other.request_idx = 42;
    expect_error(refused_body(wrapped_body(other, "{}")), 401, "proxy: the signature is for another worker");
  }
  EXPECT_EQ(proxy().counted(Counter::kAuthOtherWorker), 2u);
  expect_books_untouched();
}

// Another port of the same host may begin with the same digits.
TEST_F(HandlerChainTest, NorIsOneThatOnlyBeginsLikeThisOnes) {
  for (const std::string& url : {Route().url + "1", Route().url + "/", Route().url.substr(0, 23)}) {
    Route other = next_route();
    other.url = url;
    expect_error(refused_body(wrapped_body(other, "{}")), 401, "proxy: the signature is for another worker");
  }
}

TEST_F(HandlerChainTest, AWorkerWithoutAnUrlOfItsOwnTakesAnySignedOne) {
  setup_.settings.own_url.clear();
  Route other = next_route();
  other.url = "http://203.0.113.5:41235";
  EXPECT_EQ(forwarded(wrapped_body(other, "{}")), "{}");
}

TEST_F(HandlerChainTest, AReplayIsA401) {
  Route route = next_route();
  route.request_idx = 43;
  std::string body = wrapped_body(route, "{}");
  forwarded(body);
  LedgerSnapshot before = proxy().books();
  expect_error(refused_body(body), 401, "proxy: this request was seen before");
  EXPECT_EQ(proxy().books().totals, before.totals);
  EXPECT_EQ(proxy().books().failed.waiting, 0u);
  EXPECT_EQ(proxy().counted(Counter::kAuthReplayed), 1u);
}

TEST_F(HandlerChainTest, ARequestThatComesFarTooLateIsA401) {
  Route late = next_route(), latest = late;
  latest.reqnum = late.reqnum + 101;
  forwarded(wrapped_body(latest, "{}"));
  expect_error(refused_body(wrapped_body(late, "{}")), 401, "proxy: this request is too old");
  EXPECT_EQ(proxy().counted(Counter::kAuthStale), 1u);
  late.reqnum = latest.reqnum - 100;
  forwarded(wrapped_body(late, "{}"));
}

TEST_F(HandlerChainTest, A401LeavesTheConnectionUsable) {
  RawClient client = connect();
  RawMessage response = client.exchange(post_request("/generate", R"({"inputs": "x"})"));
  EXPECT_EQ(response.status(), 401);
  EXPECT_EQ(response.header("Connection"), "keep-alive");
  client.send(generate());
  EXPECT_EQ(server_.accept().read_request().body, R"({"work": 3})");
}

TEST_F(HandlerChainTest, WhatIsNoJsonIsA422) {
  RawMessage response = refused_body("{\"a\": }");
  EXPECT_EQ(response.status(), 422);
  EXPECT_EQ(response.body, R"({"error":"invalid JSON"})");
  EXPECT_EQ(refused_body("").status(), 422);
  EXPECT_EQ(proxy().counted(Counter::kBadRequest422), 2u);
  expect_books_untouched();
}

TEST_F(HandlerChainTest, AnUnknownSessionIsA410) {
  RawMessage response = refused_body(wrapped_body(next_route(), "{}", ", \"session_id\": \"abcdefghijklm\""));
  EXPECT_EQ(response.status(), 410);
  EXPECT_EQ(response.body, R"({"error":"invalid session"})");
  expect_books_untouched();
}

TEST_F(HandlerChainTest, WithoutAKeyNobodyIsServedForAWhile) {
  setup_.public_keys.clear();
  RawMessage response = refused(generate());
  expect_error(response, 503, "proxy: the autoscaler's public key isn't here yet");
  EXPECT_NE(response.header("Retry-After"), "");
  EXPECT_EQ(proxy().counted(Counter::kAuthNoKey), 1u);
  expect_books_untouched();
}

// Also with good ones in between: after a change of keys, clients with the old key's routes go on for a
// while.
TEST_F(HandlerChainTest, SeveralWrongSignaturesAskForTheKeyAgain) {
  static const auto stranger = make_key(2048);
  Route forged = next_route();
  forged.key = stranger;
  std::string wrong = wrapped_body(forged, "{}");
  for (int i = 0; i < kFailuresBeforeRefetch - 1; ++i) refused_body(wrong);
  forwarded(wrapped_body(next_route(), "{}"));
  EXPECT_EQ(proxy().key_requests(), 0);
  refused_body(wrong);
  EXPECT_EQ(proxy().key_requests(), 1);
  // Forged ones by the thousand don't wake the supervisor by the thousand.
  proxy().core().key_asked = std::chrono::steady_clock::now() + std::chrono::hours(1);
  for (int i = 0; i < 3 * kFailuresBeforeRefetch; ++i) refused_body(wrong);
  EXPECT_EQ(proxy().key_requests(), 1);
  proxy().core().key_asked = std::chrono::steady_clock::now() - kRefetchPause;
  refused_body(wrong);
  EXPECT_EQ(proxy().key_requests(), 2);
}

TEST_F(HandlerChainTest, UnsecuredLetsUnsignedRequestsIn) {
  setup_.settings.unsecured = true;
  setup_.public_keys.clear();
  EXPECT_EQ(forwarded(R"({"work": 2})"), R"({"work": 2})");
  EXPECT_EQ(forwarded(R"({"auth_data": {}, "payload": {"work": 2}})"), R"({"work": 2})");
  LedgerSnapshot books = proxy().books();
  EXPECT_EQ(books.totals.served, (Amount{4000, 2}));
  EXPECT_EQ(proxy().counted(Counter::kUnsecuredRequests), 2u);
}

// ---- phase

struct PhaseCase {
  ModelPhase phase;
  const char* text;
};
constexpr PhaseCase kNotReady[] = {
    {ModelPhase::kLoading, "worker: the model is loading"},
    {ModelPhase::kUnhealthy, "worker: the inference server is being restarted"},
    {ModelPhase::kDraining, "worker: shutting down"},
};

TEST_F(HandlerChainTest, AWorkerThatIsNotReadySaysWhyAndCountsTheLoadAsRejected) {
  std::int64_t rejected = 0;
  for (const PhaseCase& c : kNotReady) {
    proxy().set_phase(c.phase);
    RawMessage response = refused(generate());
    expect_error(response, 503, c.text);
    EXPECT_NE(response.header("Retry-After"), "");
    EXPECT_EQ(response.header("Connection"), "keep-alive");
    EXPECT_EQ(proxy().books().totals.rejected, (Amount{3000 * (rejected + 1), rejected + 1}));
    ++rejected;
  }
  proxy().set_phase(ModelPhase::kReady);
  EXPECT_EQ(begin(generate()).request.body, R"({"work": 3})");
  expect_books_sum_up(proxy().books());
}

TEST_F(HandlerChainTest, ARejectedRequestMayComeAgain) {
  Route route = next_route();
  proxy().set_phase(ModelPhase::kLoading);
  refused(generate(route));
  proxy().set_phase(ModelPhase::kReady);
  forwarded(wrapped_body(route, "{}"));
}

// While the model loads, one captured message would else be as much load as its thief likes.
TEST_F(HandlerChainTest, ARejectedRequestCountsOnceHoweverOftenItComes) {
  Route route = next_route(), url_only = next_route();
  route.request_idx = 41;
  url_only.request_idx = 42;
  url_only.covers = SignedText::kUrlOnly;
  proxy().set_phase(ModelPhase::kLoading);
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(refused(generate(route)).status(), 503);
    EXPECT_EQ(refused(generate(url_only)).status(), 503);
  }
  EXPECT_EQ(proxy().books().totals.rejected, (Amount{6000, 2}));
  EXPECT_EQ(proxy().books().totals.received, (Amount{6000, 2}));
  EXPECT_EQ(proxy().ledger().finished(false, 100), (std::vector<std::int64_t>{41, 42}));
  EXPECT_EQ(proxy().counted(Counter::kRejectedAgain), 4u);
  expect_books_sum_up(proxy().books());
}

TEST_F(HandlerChainTest, AReplayToAWorkerThatIsNotReadyIsNoLoad) {
  Route route = next_route();
  forwarded(wrapped_body(route, "{}"));
  proxy().set_phase(ModelPhase::kUnhealthy);
  EXPECT_EQ(refused(generate(route)).status(), 401);
  EXPECT_EQ(proxy().books().totals.rejected, Amount{});
}

TEST_F(HandlerChainTest, AnUnsignedRequestToAWorkerThatIsNotReadyIsNoLoad) {
  proxy().set_phase(ModelPhase::kLoading);
  EXPECT_EQ(refused_body(R"({"inputs": "x"})").status(), 401);
  expect_books_untouched();
}

// ---- endpoints that ask for no signature

TEST_F(HandlerChainTest, AnOpenEndpointIsForwardedAndNotAccounted) {
  Exchange call = begin(post_request("/open", "not even JSON"));
  EXPECT_EQ(call.request.body, "not even JSON");
  EXPECT_TRUE(proxy().books().in_flight.empty());
  call.server.answer(500, "failed");
  EXPECT_EQ(call.client.read_response().status(), 500);
  expect_books_untouched();
}

TEST_F(HandlerChainTest, AnOpenEndpointOfAServerThatIsNotReadyIsA503) {
  for (const PhaseCase& c : kNotReady) {
    proxy().set_phase(c.phase);
    RawMessage response = refused(get_request("/health"));
    expect_error(response, 503, c.text);
    EXPECT_NE(response.header("Retry-After"), "");
  }
  expect_books_untouched();
}

TEST_F(HandlerChainTest, AnOpenEndpointDoesNotWaitForItsTurn) {
  setup_.backend.max_concurrency = 1;
  Exchange busy = begin(generate());
  EXPECT_EQ(begin(get_request("/health")).request.target(), "/health");
}

// ---- request ids

TEST_F(HandlerChainTest, RefusalsEchoTheRequestIdToo) {
  EXPECT_EQ(refused(get_request("/nowhere", "X-Request-Id: mine-1\r\n")).header("X-Request-Id"), "mine-1");
  EXPECT_NE(refused(get_request("/nowhere")).header("X-Request-Id"), "");
}

// RFC 9110 section 9.3.2. The body's bytes would be read as the next response.
TEST_F(HandlerChainTest, OwnAnswersToAHeadRequestHaveNoBody) {
  for (const char* target : {"/ping", "/nowhere", "/open"}) {
    RawClient client = connect();
    client.send("HEAD " + std::string(target) + " HTTP/1.1\r\nHost: h\r\n\r\n");
    proxy().settle();
    EXPECT_THAT(client.read_now(), testing::EndsWith("\r\n\r\n")) << target;
  }
}

TEST_F(HandlerChainTest, PingIsForGetAndHeadWithAnyQuery) {
  EXPECT_EQ(refused("DELETE /ping HTTP/1.1\r\nHost: h\r\n\r\n").header("Allow"), "GET, HEAD");
  EXPECT_EQ(refused(get_request("/ping?now=1")).body, "pong");
}

TEST_F(HandlerChainTest, ASignedRequestSaysHowLongItsBodyIs) {
  expect_error(refused("POST /generate HTTP/1.1\r\nHost: h\r\n\r\n"), 411,
               "proxy: the body's length is missing");
  EXPECT_EQ(proxy().counted(Counter::kBadRequest411), 1u);
  EXPECT_EQ(refused(post_request("/generate", "")).status(), 422);
  EXPECT_EQ(begin("POST /open HTTP/1.1\r\nHost: h\r\n\r\n").request.body, "");
  expect_books_untouched();
}

// Lists inside one another, in an object.
std::string nested(std::size_t depth) {
  return "{\"a\": " + std::string(depth, '[') + std::string(depth, ']') + "}";
}

TEST_F(HandlerChainTest, ABodyThatIsNestedTooDeeplyIsA422) {
  EXPECT_EQ(forwarded(wrapped_body(next_route(), nested(250))), nested(250));
  RawMessage response = refused_body(wrapped_body(next_route(), nested(256)));
  EXPECT_EQ(response.status(), 422);
  EXPECT_EQ(response.body, R"({"error":"JSON nested too deeply"})");
}

TEST_F(HandlerChainTest, AnEndpointMayAllowMoreDepthThanTheOthersOrLess) {
  endpoint("POST", "/generate").max_json_depth = 500;
  endpoint("POST", "/flat").max_json_depth = 8;
  EXPECT_EQ(forwarded(wrapped_body(next_route(), nested(490))), nested(490));
  EXPECT_EQ(refused_body(wrapped_body(next_route(), nested(500))).status(), 422);
  const std::string large = R"({"text": ")" + std::string(kCheckedInPlace, 'x') + R"(", "a": )";
  const std::string deep = std::string(490, '[') + std::string(490, ']') + "}";
  EXPECT_EQ(forwarded(wrapped_body(next_route(), large + deep)), large + deep) << "checked aside";
  EXPECT_EQ(refused(post_request("/flat", wrapped_body(next_route(), nested(8)))).status(), 422);
  EXPECT_EQ(begin(post_request("/flat", wrapped_body(next_route(), nested(6)))).request.body, nested(6));
}

// ---- without a signature

TEST_F(HandlerChainTest, UnsignedRequestsAtOnceAreFew) {
  std::vector<Exchange> open;
  for (std::size_t i = 0; i < kMostUnsigned; ++i) open.push_back(begin(get_request("/health")));
  RawMessage response = refused(get_request("/health"));
  expect_error(response, 429, "proxy: too many requests without a signature at once");
  EXPECT_NE(response.header("Retry-After"), "");
  EXPECT_EQ(begin(generate()).request.target(), "/generate") << "signed ones have places of their own";
  open.back().server.answer(200, "ok", "Connection: close\r\n");
  EXPECT_EQ(open.back().client.read_response().body, "ok");
  EXPECT_EQ(begin(get_request("/health")).request.target(), "/health");
}

TEST_F(HandlerChainTest, AnUnsignedBodyIsSmallUnlessTheBackendSaysOtherwise) {
  endpoint("POST", "/open").max_body_bytes.reset();
  std::string body(kLargestUnsignedBody + 1, 'b');
  EXPECT_EQ(refused(post_request("/open", body)).status(), 413);
  body.pop_back();
  EXPECT_EQ(begin(post_request("/open", body)).request.body, body);
}

}  // namespace
}  // namespace cppworker
