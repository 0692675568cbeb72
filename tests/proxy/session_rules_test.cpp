#include "proxy/session_rules.hpp"

#include <gtest/gtest.h>

#include <vector>
#include <nlohmann/json.hpp>

#include "common/json_scan.hpp"
#include "proxy/session_auth.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

const std::vector<std::string> kRoutes = {"/generate", "/close", "/v1/release"};
constexpr std::string_view kAuth = R"({"signature":"c2ln","cost":256,"url":"http://h:1"})";
constexpr std::string_view kId = "Ab3dEf6hIj9kL";

SessionTerms terms(const std::string& payload) {
  EXPECT_EQ(validate_json(payload), JsonFault::kNone) << payload;
  auto parsed = parse_session_terms(payload, kRoutes);
  EXPECT_TRUE(parsed) << payload << (parsed ? "" : parsed.error().body);
  return parsed ? *parsed : SessionTerms();
}

// The name of the member that was refused.
std::string refused_term(const std::string& payload) {
  EXPECT_EQ(validate_json(payload), JsonFault::kNone) << payload;
  auto parsed = parse_session_terms(payload, kRoutes);
  if (parsed) return "accepted";
  EXPECT_EQ(parsed.error().status, 422);
  json body = json::parse(parsed.error().body);
  EXPECT_EQ(body.size(), 1u);
  EXPECT_EQ(body.begin().key(), "payload");
  return body["payload"].begin().key();
}

TEST(SessionRules, WhatIsntAskedForHasItsDefault) {
  for (std::string payload : {"{}", R"({"lifetime":null,"on_close_route":null,"on_close_payload":null})",
                              R"({"on_close_route":""})", R"({"unknown":[1,{"lifetime":5}]})"}) {
    EXPECT_EQ(terms(payload).lifetime_ms, 60'000) << payload;
    EXPECT_EQ(terms(payload).on_close_route, "");
    EXPECT_EQ(terms(payload).on_close_payload, "");
  }
}

TEST(SessionRules, TheTermsAreTakenAsTheyAreGiven) {
  std::string payload = R"({"lifetime":12.5,"on_close_route":"\/close","on_close_payload":{"a": [1, 2e3]}})";
  SessionTerms all = terms(payload);
  EXPECT_EQ(all.lifetime_ms, 12'500);
  EXPECT_EQ(all.on_close_route, "/close");
  EXPECT_EQ(all.on_close_payload, R"({"a": [1, 2e3]})");
}

TEST(SessionRules, ALifetimeIsAPositiveNumberOfSecondsWithinBounds) {
  const std::pair<std::string, std::int64_t> good[] = {
      {"1", 1000}, {"0.5", 500}, {"6e1", 60'000}, {"0.0001", 1}, {"21600", 21'600'000}, {"1.0000001", 1001}};
  for (const auto& [value, milliseconds] : good)
    EXPECT_EQ(terms(R"({"lifetime":)" + value + "}").lifetime_ms, milliseconds) << value;
  for (std::string value : {"0", "-1", "0.0", "-0", "1e-999", "21600.1", "1e300", "1e999", "-1e999", "\"60\"",
                            "true", "[60]", "{}"})
    EXPECT_EQ(refused_term(R"({"lifetime":)" + value + "}"), "lifetime") << value;
}

TEST(SessionRules, OnlyAnEndpointOfTheBackendIsCalledAtTheEnd) {
  for (const std::string& route : kRoutes)
    EXPECT_EQ(terms(R"({"on_close_route":)" + json(route).dump() + "}").on_close_route, route);
  for (std::string route : {"/shutdown", "generate", "/generate/", "/generate?x=1", "/GENERATE", " /generate",
                            "http://169.254.169.254/latest", "//evil/generate", "/generate/../shutdown",
                            "/generate\r\nHost: x", "/generat", "@evil/generate"})
    EXPECT_EQ(refused_term(R"({"on_close_route":)" + json(route).dump() + "}"), "on_close_route") << route;
  for (std::string value : {"1", "true", "[\"/close\"]", "{}"})
    EXPECT_EQ(refused_term(R"({"on_close_route":)" + value + "}"), "on_close_route") << value;
  std::string longest(257, '/');
  EXPECT_FALSE(
      parse_session_terms(R"({"on_close_route":")" + longest + "\"}", std::vector<std::string>{longest}));
  EXPECT_FALSE(parse_session_terms(R"({"on_close_route":"/close"})", {}));
}

TEST(SessionRules, APayloadForTheEndIsAnObjectOfBoundedSize) {
  for (std::string value : {"1", "[]", "\"{}\"", "false"})
    EXPECT_EQ(refused_term(R"({"on_close_payload":)" + value + "}"), "on_close_payload") << value;
  auto object = [](std::size_t size) { return R"({"a":")" + std::string(size - 8, 'x') + "\"}"; };
  EXPECT_EQ(terms(R"({"on_close_payload":)" + object(16384) + "}").on_close_payload.size(), 16384u);
  EXPECT_EQ(refused_term(R"({"on_close_payload":)" + object(16385) + "}"), "on_close_payload");
}

TEST(SessionRules, ATermGivenTwiceIsRefusedHoweverItIsSpelled) {
  EXPECT_EQ(refused_term(R"({"lifetime":1,"lifetime":2})"), "lifetime");
  EXPECT_EQ(refused_term(R"({"lifetime":1,"lif\u0065time":null})"), "lifetime");
  EXPECT_EQ(refused_term(R"({"on_close_route":null,"on_close_route":"/close"})"), "on_close_route");
  EXPECT_EQ(refused_term(R"({"on_close_payload":{},"on_close_payload":{}})"), "on_close_payload");
}

TEST(SessionRules, ASessionBelongsToWhoeverSignedForIt) {
  EXPECT_EQ(*digest_creator(kAuth), *digest_auth_data(kAuth));
  auto missing = digest_creator("");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().status, 422);
  EXPECT_EQ(missing.error().body, R"({"auth_data":"field missing"})");
  auto object = [](std::size_t size) { return R"({"a":")" + std::string(size - 8, 'x') + "\"}"; };
  EXPECT_TRUE(digest_creator(object(8192)));
  EXPECT_EQ(digest_creator(object(8193)).error().body, R"({"auth_data":"is too long"})");
  EXPECT_EQ(digest_creator(std::string(20, '[') + std::string(20, ']')).error().body,
            R"({"auth_data":"nested too deeply"})");
}

// ---- queries

Refusal refused_query(std::string_view body) {
  auto parsed = parse_session_query(body);
  EXPECT_FALSE(parsed) << body;
  return parsed ? Refusal() : parsed.error();
}

TEST(SessionRules, AQueryNamesTheSessionAndProvesWhoseItIs) {
  auto query =
      parse_session_query(R"( {"session_auth": {"b":2,"a":1}, "session_id": "x\u0079z", "more":[]} )");
  ASSERT_TRUE(query);
  EXPECT_EQ(query->session_id, "xyz");
  EXPECT_TRUE(same_auth_data(*digest_auth_data(R"({"a":1,"b":2})"), query->auth));
}

TEST(SessionRules, AQueryWithoutAProofIsNobodys) {
  for (std::string auth : {R"({"session_id":"x"})", R"({"session_id":"x","session_auth":null})"}) {
    auto query = parse_session_query(auth);
    ASSERT_TRUE(query);
    EXPECT_FALSE(query->auth);
  }
}

TEST(SessionRules, ABadQueryIsAnsweredInTheProtocolsWords) {
  const std::pair<std::string, std::string> cases[] = {
      {"", R"({"error":"invalid JSON"})"},
      {R"({"session_id":"x",})", R"({"error":"invalid JSON"})"},
      {"{\"session_id\":\"\xff\"}", R"({"error":"invalid JSON"})"},
      {"[]", R"({"error":"the body must be a JSON object"})"},
      {"{}", R"({"session_id":"field missing"})"},
      {R"({"session_id":null,"session_auth":{}})", R"({"session_id":"field missing"})"},
      {R"({"session_auth":{"session_id":"x"}})", R"({"session_id":"field missing"})"},
      {R"({"session_id":7})", R"({"session_id":"must be a string"})"},
      {R"({"session_id":"x","session_id":"y"})", R"({"session_id":"given twice"})"},
      {R"({"session_id":"x","session_auth":{},"session\u005fauth":{}})", R"({"session_auth":"given twice"})"},
      {R"({"session_id":)" + std::string(300, '[') + std::string(300, ']') + "}",
       R"({"error":"JSON nested too deeply"})"},
  };
  for (const auto& [body, answer] : cases) {
    Refusal refusal = refused_query(body);
    EXPECT_EQ(refusal.status, 422) << body;
    EXPECT_EQ(refusal.body, answer) << body;
  }
}

// ---- answers

SessionRecord record() {
  SessionRecord made;
  made.id = kId;
  made.auth_digest = *digest_auth_data(kAuth);
  made.lifetime_ms = 60'000;
  made.created_unix_ms = 1'700'000'000'123;
  made.expiration_unix_ms = 1'700'000'060'123;
  made.auth_data = kAuth;
  return made;
}
SessionQuery owners_query() {
  return {std::string(kId), digest_auth_data(kAuth)};
}
std::vector<SessionQuery> strangers_queries() {
  return {{std::string(kId), std::nullopt},
          {std::string(kId), digest_auth_data("{}")},
          {std::string(kId), digest_auth_data(R"({"signature":"c2ln","cost":"256","url":"http://h:1"})")}};
}

TEST(SessionRules, ACreatedSessionIsAnsweredWithIdAndExpiration) {
  Refusal answer = answer_created(kId, 1'700'000'060'123);
  EXPECT_EQ(answer.status, 201);
  EXPECT_EQ(answer.body, R"({"session_id":"Ab3dEf6hIj9kL","expiration":1700000060.123})");
}

TEST(SessionRules, TooManySessionsSayWhenToAskAgain) {
  Refusal full = refuse_creation(SessionCreation::kFull);
  EXPECT_EQ(full.status, 429);
  EXPECT_GT(full.retry_after_s, 0);
  Refusal locked = refuse_creation(SessionCreation::kLocked);
  EXPECT_EQ(locked.status, 503);
  EXPECT_GT(locked.retry_after_s, 0);
}

TEST(SessionRules, GetTellsTheOwnerAllOfIt) {
  Refusal answer = answer_get(owners_query(), SessionVerdict::kOpen, record());
  EXPECT_EQ(answer.status, 200);
  EXPECT_EQ(answer.body,
            R"({"session_id":"Ab3dEf6hIj9kL","auth_data":{"signature":"c2ln","cost":256,"url":"http://h:1"},)"
            R"("lifetime":60.0,"expiration":1700000060.123,"created_at":1700000000.123,)"
            R"("on_close_route":null,"on_close_payload":null})");
  SessionRecord closing_down = record();
  closing_down.on_close_route = "/clo\"se";
  closing_down.on_close_payload = R"({"a": 1e2})";
  json body = json::parse(answer_get(owners_query(), SessionVerdict::kOpen, closing_down).body);
  EXPECT_EQ(body["on_close_route"], "/clo\"se");
  EXPECT_EQ(body["on_close_payload"], json::parse(R"({"a":100.0})"));
}

TEST(SessionRules, EveryVerdictHasItsStatusOnEveryRoute) {
  struct Case {
    SessionVerdict verdict;
    int get, health, end;  // of the owner; 0: may be ended
    int stranger;          // on all three, or 0: as the owner
  };
  const Case cases[] = {
      {SessionVerdict::kOpen, 200, 200, 0, 401},
      {SessionVerdict::kClosing, 400, 200, 410, 401},
      {SessionVerdict::kUnknown, 400, 200, 400, 0},
      {SessionVerdict::kLocked, 503, 503, 503, 0},
  };
  for (const Case& each : cases) {
    bool found = each.verdict == SessionVerdict::kOpen || each.verdict == SessionVerdict::kClosing;
    SessionRecord session = found ? record() : SessionRecord();
    auto expect = [&](const SessionQuery& query, int get, int health, int end) {
      EXPECT_EQ(answer_get(query, each.verdict, session).status, get);
      EXPECT_EQ(answer_health(query, each.verdict, session).status, health);
      auto refusal = refuse_end(query, each.verdict, session);
      EXPECT_EQ(refusal ? refusal->status : 0, end);
    };
    expect(owners_query(), each.get, each.health, each.end);
    for (const SessionQuery& stranger : strangers_queries()) {
      if (each.stranger != 0)
        expect(stranger, each.stranger, each.stranger, each.stranger);
      else
        expect(stranger, each.get, each.health, each.end);
    }
  }
}

TEST(SessionRules, AStrangersAnswerTellsNothingOfTheSession) {
  for (const SessionQuery& stranger : strangers_queries())
    for (SessionVerdict verdict : {SessionVerdict::kOpen, SessionVerdict::kClosing})
      for (const std::string& body :
           {answer_get(stranger, verdict, record()).body, answer_health(stranger, verdict, record()).body,
            refuse_end(stranger, verdict, record())->body}) {
        EXPECT_EQ(body.find("c2ln"), std::string::npos);
        EXPECT_EQ(body.find(kId), std::string::npos);
      }
}

TEST(SessionRules, HealthSaysWhetherItIsOpen) {
  EXPECT_EQ(answer_health(owners_query(), SessionVerdict::kOpen, record()).body, R"({"ok":true})");
  EXPECT_EQ(answer_health(owners_query(), SessionVerdict::kClosing, record()).body, R"({"ok":false})");
  EXPECT_EQ(answer_health(owners_query(), SessionVerdict::kUnknown, {}).body, R"({"ok":false})");
}

TEST(SessionRules, EndedSaysWhichSessionIsGone) {
  EXPECT_EQ(answer_ended(kId).status, 200);
  EXPECT_EQ(answer_ended(kId).body, R"({"ended":true,"removed_session":"Ab3dEf6hIj9kL"})");
}

TEST(SessionRules, ARequestIsLetInByAnOpenSessionAlone) {
  EXPECT_FALSE(refuse_use(SessionVerdict::kOpen));
  EXPECT_EQ(refuse_use(SessionVerdict::kWrongOwner)->status, 401);
  EXPECT_EQ(refuse_use(SessionVerdict::kLocked)->status, 503);
  for (SessionVerdict gone : {SessionVerdict::kUnknown, SessionVerdict::kClosing}) {
    EXPECT_EQ(refuse_use(gone)->status, 410);
    EXPECT_EQ(refuse_use(gone)->body, R"({"error":"invalid session"})");
  }
}

TEST(SessionRules, WhatIsPostedAtTheEndCarriesOurIdOnce) {
  EXPECT_EQ(on_close_body("", kId), R"({"session_id":"Ab3dEf6hIj9kL"})");
  EXPECT_EQ(on_close_body("{}", kId), R"({"session_id":"Ab3dEf6hIj9kL"})");
  EXPECT_EQ(on_close_body(R"({ "a" : 1.50 , "b":{"session_id":"kept"}})", kId),
            R"({"a":1.50,"b":{"session_id":"kept"},"session_id":"Ab3dEf6hIj9kL"})");
  EXPECT_EQ(on_close_body(R"({"session_id":"another's","a":1,"sess\u0069on_id":2})", kId),
            R"({"a":1,"session_id":"Ab3dEf6hIj9kL"})");
}

TEST(SessionRules, TheIdOfARequestIsReadThroughItsEscapes) {
  EXPECT_EQ(decode_session_id(R"("\u0041b3")"), "Ab3");
  EXPECT_EQ(decode_session_id("\"\""), "");
}

}  // namespace
}  // namespace cppworker
