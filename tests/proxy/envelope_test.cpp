#include "proxy/envelope.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <random>
#include <vector>
#include <nlohmann/json.hpp>

namespace cppworker {
namespace {

using nlohmann::json;

constexpr std::string_view kWrapped =
    R"( {"auth_data": {"signature":"c2ln","cost":256,"endpoint":"ep","reqnum":17,"url":"http://h:1","request_idx":5,)"
    R"("__extra":[1]}, "payload" : {"inputs": "hi",  "n": 1e2 } , "session_id": null} )";
constexpr std::string_view kFlat =
    R"({"signature":"c2ln","cost":256,"endpoint":"ep","reqnum":17,"url":"http://h:1","inputs":"hi","n":1e2})";

std::string forwarded(const Envelope& envelope) {
  std::string text;
  for (std::string_view piece : envelope.payload_pieces) text += piece;
  EXPECT_EQ(text.size(), envelope.payload_size());
  return text;
}

EnvelopeError refused(std::string_view body, bool auth_required = true) {
  auto parsed = parse_envelope(body, auth_required);
  if (parsed) {
    ADD_FAILURE() << "accepted: " << body;
    return {};
  }
  EXPECT_TRUE(json::accept(parsed.error().body)) << parsed.error().body;
  return parsed.error();
}

void expect_refused(std::string_view body, EnvelopeFault fault, int status, std::string_view answer) {
  EnvelopeError error = refused(body);
  EXPECT_EQ(error.fault, fault) << body;
  EXPECT_EQ(error.status, status) << body;
  EXPECT_EQ(error.body, answer) << body;
}

// `member` among the others of a body of each shape.
std::string wrapped_with(const std::string& member, std::string_view replaced = "") {
  std::string auth;
  for (std::string each : {R"("signature":"c2ln")", R"("cost":256)", R"("endpoint":"ep")", R"("reqnum":17)",
                           R"("url":"http://h:1")"}) {
    if (!replaced.empty() && each.starts_with("\"" + std::string(replaced) + "\"")) continue;
    auth += each + ",";
  }
  auth += member.empty() ? "\"x\":1" : member;
  return R"({"auth_data":{)" + auth + R"(},"payload":{}})";
}
std::string flat_with(const std::string& member, std::string_view replaced = "") {
  json wrapped = json::parse(wrapped_with("", replaced));
  std::string text;
  for (const auto& [name, value] : wrapped["auth_data"].items())
    text += json(name).dump() + ":" + value.dump() + ",";
  return "{" + text + (member.empty() ? "\"y\":1" : member) + "}";
}

TEST(Envelope, WrappedForwardsThePayloadsOwnBytes) {
  auto parsed = parse_envelope(kWrapped);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->wrapped);
  EXPECT_EQ(forwarded(*parsed), R"({"inputs": "hi",  "n": 1e2 })");
  EXPECT_EQ(parsed->payload_object, forwarded(*parsed));
  EXPECT_EQ(parsed->session_id, "");
  EXPECT_EQ(parsed->auth.signature, "\"c2ln\"");
  EXPECT_EQ(parsed->auth.cost, "256");
  EXPECT_EQ(parsed->auth.endpoint, "\"ep\"");
  EXPECT_EQ(parsed->auth.reqnum_value, 17U);
  EXPECT_EQ(parsed->auth.url, "\"http://h:1\"");
  EXPECT_EQ(parsed->auth.request_idx_value, 5);
}

TEST(Envelope, FlatForwardsTheBodyWithoutTheAuthMembers) {
  auto parsed = parse_envelope(kFlat);
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->wrapped);
  EXPECT_EQ(forwarded(*parsed), R"({"inputs":"hi","n":1e2})");
  EXPECT_EQ(parsed->payload_object, kFlat);
  EXPECT_EQ(parsed->auth.request_idx_value, std::nullopt);
}

// Those that a reader finds when it steps through the payload itself.
void expect_the_members_of(const Envelope& envelope) {
  const JsonObject payload = envelope.payload();
  ASSERT_TRUE(payload.members);
  JsonMembers stepped(envelope.payload_object);
  for (const JsonMember& member : *payload.members) {
    const auto expected = stepped.next();
    ASSERT_TRUE(expected);
    EXPECT_EQ(member.key, expected->key);
    EXPECT_EQ(member.value, expected->value);
    EXPECT_EQ(member.key_escaped, expected->key_escaped);
  }
  EXPECT_FALSE(stepped.next());
}

TEST(Envelope, KeepsTheMembersOfThePayload) {
  for (const std::string& body : {std::string(kWrapped), std::string(kFlat), wrapped_with(""),
                                  flat_with(R"("\u0061":{"b":[1]},"a":2)")}) {
    auto parsed = parse_envelope(body);
    ASSERT_TRUE(parsed) << body;
    expect_the_members_of(*parsed);
  }
}

TEST(Envelope, KeepsNoneOfManyMembers) {
  std::string many;
  for (int i = 0; i < 9; ++i) many += (i == 0 ? "\"m" : ",\"m") + std::to_string(i) + "\":1";
  const std::string body = flat_with(many);
  auto parsed = parse_envelope(body);
  ASSERT_TRUE(parsed);
  EXPECT_FALSE(parsed->payload().members);
  EXPECT_EQ(find_json_member(parsed->payload(), "m8"), "1");
}

TEST(Envelope, SlicesPointIntoTheBody) {
  std::string body(kWrapped);
  auto parsed = parse_envelope(body);
  ASSERT_TRUE(parsed);
  for (std::string_view slice : {parsed->payload_pieces[0], parsed->auth.url, parsed->auth.cost})
    EXPECT_TRUE(slice.data() >= body.data() && slice.data() + slice.size() <= body.data() + body.size());
}

TEST(Envelope, TheSessionIsAStringOrNone) {
  std::string begin =
      R"({"auth_data":{"signature":"c2ln","cost":1,"endpoint":"e","reqnum":1,"url":"u"},"payload":{})";
  EXPECT_EQ(parse_envelope(begin + "}")->session_id, "");
  EXPECT_EQ(parse_envelope(begin + R"(,"session_id":null})")->session_id, "");
  EXPECT_EQ(parse_envelope(begin + R"(,"session_id":"abc"})")->session_id, "\"abc\"");
  expect_refused(begin + R"(,"session_id":7})", EnvelopeFault::kWrong, 422,
                 R"({"session_id":"must be a string or null"})");
}

// The auth members in every order among the payload's, with odd blanks: what is forwarded parses as the
// original without them, in the original's order and spelling.
// It came with the newest generation, whose bodies are wrapped: here it is the payload's own, whatever it is.
TEST(Envelope, AFlatBodysRequestIdxIsAMemberLikeAnyOther) {
  std::string body = flat_with(R"("request_idx":"mine","request_idx":[2])");
  auto parsed = parse_envelope(body);
  ASSERT_TRUE(parsed) << parsed.error().body;
  EXPECT_EQ(parsed->auth.request_idx_value, std::nullopt);
  EXPECT_NE(forwarded(*parsed).find(R"("request_idx":"mine","request_idx":[2])"), std::string::npos);
}

TEST(Envelope, CuttingAFlatBodyLeavesTheRestAsItWas) {
  std::vector<std::string> auth = {R"("signature" : "c2ln")", R"("cost":2.50)", R"("endpoint":"e,}{")",
                                   "\"reqnum\"\t:\n17", R"("u\u0072l":"http://h:1")"};
  std::vector<std::string> payload = {R"("inputs": "a,\"b}")", R"("n" :1e2)",
                                      R"("deep":{"url":"x","list":[1, {}]})", R"("n":2)"};
  const std::vector<std::string> blanks = {"", " ", "\n\t", "  \r\n "};
  std::mt19937 random(11);
  for (int round = 0; round < 3000; ++round) {
    std::vector<std::string> kept(payload.begin(), payload.begin() + static_cast<int>(random() % 5));
    std::vector<std::string> members = auth;
    for (const auto& each : kept) members.push_back(each);
    std::shuffle(members.begin(), members.end(), random);
    auto blank = [&] { return blanks[random() % blanks.size()]; };
    std::string body = blank() + "{", kept_only;
    for (std::size_t i = 0; i < members.size(); ++i) {
      std::string segment = blank() + members[i] + blank();
      body += (i == 0 ? "" : ",") + segment;
      bool is_auth = std::find(auth.begin(), auth.end(), members[i]) != auth.end();
      if (!is_auth) kept_only += (kept_only.empty() ? "" : ",") + segment;
    }
    std::string front = body.substr(0, body.find('{') + 1), end = "}" + blank();
    body += end;
    auto parsed = parse_envelope(body);
    ASSERT_TRUE(parsed) << body;
    EXPECT_EQ(forwarded(*parsed), front + kept_only + end) << body;
    EXPECT_TRUE(json::accept(forwarded(*parsed)));
    EXPECT_EQ(parsed->auth.cost, "2.50");
    EXPECT_EQ(parsed->auth.url, "\"http://h:1\"");
  }
}

TEST(Envelope, UnsecuredBodiesMayLackEverything) {
  auto parsed = parse_envelope(R"( {"inputs":"x"} )", false);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(forwarded(*parsed), R"( {"inputs":"x"} )");
  EXPECT_EQ(parsed->payload_pieces.size(), 1U);
  EXPECT_EQ(forwarded(*parse_envelope("{}", false)), "{}");
  EXPECT_EQ(forwarded(*parse_envelope(R"({ "url":"u" })", false)), "{}");
  parsed = parse_envelope(R"({"auth_data":{},"payload":{"a":1}})", false);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(forwarded(*parsed), R"({"a":1})");
  EXPECT_EQ(parsed->auth.signature, "");
  EXPECT_EQ(refused(R"({"cost":[]})", false).status, 422);
}

TEST(Envelope, MissingFieldsAreNamedAsThePythonWorkersNameThem) {
  for (std::string name : {"signature", "cost", "endpoint", "reqnum", "url"})
    expect_refused(wrapped_with("", name), EnvelopeFault::kMissing, 422,
                   R"({"auth_data":{")" + name + R"(":"missing parameter"}})");
  for (std::string name : {"cost", "endpoint", "reqnum", "url"})
    expect_refused(flat_with("", name), EnvelopeFault::kMissing, 422,
                   R"({"auth_data":{")" + name + R"(":"missing parameter"}})");
  expect_refused(R"({"auth_data":{}})", EnvelopeFault::kMissing, 422, R"({"payload":"field missing"})");
  expect_refused(R"({"payload":{"inputs":"x"}})", EnvelopeFault::kMissing, 422,
                 R"({"auth_data":"field missing"})");
}

TEST(Envelope, AnUnsignedFlatBodyIsUnauthorized) {
  for (std::string_view body :
       {R"({"inputs":"x"})", "{}", R"({"cost":1,"endpoint":"e","reqnum":1,"url":"u"})",
        R"({"payload":"just a field"})"}) {
    EnvelopeError error = refused(body);
    EXPECT_EQ(error.fault, EnvelopeFault::kUnsigned) << body;
    EXPECT_EQ(error.status, 401) << body;
  }
}

TEST(Envelope, WhatIsNoJsonObjectIsRefused) {
  for (std::string_view body : {"", "{", "nonsense", "{\"a\":1,}", "\xff", "{}x"})
    expect_refused(body, EnvelopeFault::kInvalidJson, 422, R"({"error":"invalid JSON"})");
  for (std::string_view body : {"[]", "null", "17", "\"x\"", R"([{"signature":"x"}])"})
    EXPECT_EQ(refused(body).fault, EnvelopeFault::kNotAnObject) << body;
  std::string deep = R"({"signature":)" + std::string(300, '[') + std::string(300, ']') + "}";
  EXPECT_EQ(refused(deep).fault, EnvelopeFault::kTooDeep);
  expect_refused(R"({"auth_data":[],"payload":{}})", EnvelopeFault::kWrong, 422,
                 R"({"auth_data":"must be an object"})");
  expect_refused(R"({"auth_data":null,"payload":{}})", EnvelopeFault::kWrong, 422,
                 R"({"auth_data":"must be an object"})");
  expect_refused(R"({"auth_data":{},"payload":[]})", EnvelopeFault::kWrong, 422,
                 R"({"payload":"must be an object"})");
}

TEST(Envelope, RepeatedAuthMembersAreRefusedHoweverTheyAreSpelled) {
  for (std::string name : {"signature", "cost", "endpoint", "reqnum", "url"}) {
    char escaped[8];
    std::snprintf(escaped, sizeof escaped, "\\u%04x", static_cast<unsigned>(name[0]));
    for (const std::string& spelled : {name, escaped + name.substr(1)}) {
      std::string again = "\"" + spelled + "\":1";
      expect_refused(wrapped_with(again), EnvelopeFault::kRepeated, 422,
                     R"({"auth_data":{")" + name + R"(":"given twice"}})");
      expect_refused(flat_with(again), EnvelopeFault::kRepeated, 422,
                     R"({"auth_data":{")" + name + R"(":"given twice"}})");
    }
  }
  std::string body(kWrapped);
  body.insert(body.rfind('}'), R"(,"pay\u006coad":{"other":1})");
  expect_refused(body, EnvelopeFault::kRepeated, 422, R"({"payload":"given twice"})");
  body = kWrapped;
  body.insert(body.rfind('}'), R"(,"auth\u005fdata":{})");
  expect_refused(body, EnvelopeFault::kRepeated, 422, R"({"auth_data":"given twice"})");
  body = kWrapped;
  body.insert(body.rfind('}'), R"(,"session_id":"x")");
  expect_refused(body, EnvelopeFault::kRepeated, 422, R"({"session_id":"given twice"})");
  EXPECT_EQ(refused(wrapped_with(R"("request_idx":1,"request_idx":2)")).fault, EnvelopeFault::kRepeated);
}

TEST(Envelope, AnEscapedNameIsTheNameItSpells) {
  // Taken for a payload member, it would let the request pass as flat and unsigned fields reach the server.
  auto parsed = parse_envelope(flat_with(R"("\u0078":1)"));
  ASSERT_TRUE(parsed);
  std::string body = wrapped_with("");
  body.replace(body.find("auth_data"), 9, "\\u0061uth_dat\\u0061");
  parsed = parse_envelope(body);
  ASSERT_TRUE(parsed);
  EXPECT_TRUE(parsed->wrapped);
  EXPECT_EQ(forwarded(*parsed), "{}");
}

TEST(Envelope, TypesAndSizesAreCheckedBeforeAnySignature) {
  struct Case {
    std::string name;
    std::vector<std::string> good, bad;
  };
  auto text = [](std::size_t size) { return "\"" + std::string(size, 'A') + "\""; };
  const std::vector<Case> cases = {
      {"signature", {"\"\"", text(kLongestSignature)}, {"1", "null", "[]", text(kLongestSignature + 1)}},
      {"url", {text(kLongestUrl)}, {"1", "null", "{}", text(kLongestUrl + 1)}},
      {"endpoint", {"\"\"", text(kLongestEndpoint)}, {"1", "null", text(kLongestEndpoint + 1)}},
      {"cost",
       {"0", "-3", "1.5e3", "\"256\"", std::string(kLongestCost, '9'), text(kLongestCost)},
       {"null", "true", "[1]", "{}", std::string(kLongestCost + 3, '9'), text(kLongestCost + 1)}},
      {"reqnum",
       {"0", "-0", "18446744073709551615"},
       {"-1", "18446744073709551616", "1.0", "1e3", "\"17\"", "null", "[]"}},
  };
  for (const Case& each : cases) {
    for (const std::string& value : each.good) {
      std::string member = "\"" + each.name + "\":" + value;
      EXPECT_TRUE(parse_envelope(wrapped_with(member, each.name))) << member;
    }
    for (const std::string& value : each.bad) {
      std::string member = "\"" + each.name + "\":" + value;
      EXPECT_EQ(refused(wrapped_with(member, each.name)).fault, EnvelopeFault::kWrong) << member;
      EXPECT_EQ(refused(wrapped_with(member, each.name)).status, 422);
    }
  }
  EXPECT_EQ(parse_envelope(wrapped_with(R"("request_idx":-9223372036854775808)"))->auth.request_idx_value,
            INT64_MIN);
  EXPECT_EQ(parse_envelope(wrapped_with(R"("request_idx":null)"))->auth.request_idx_value, std::nullopt);
  for (const char* bad : {"9223372036854775808", "1.5", "\"1\"", "[]"})
    EXPECT_EQ(refused(wrapped_with("\"request_idx\":" + std::string(bad))).fault, EnvelopeFault::kWrong)
        << bad;
}

TEST(Envelope, ErrorsRepeatNothingOfTheBody) {
  EXPECT_EQ(refused(wrapped_with(R"("reqnum":"hunter2")", "reqnum")).body.find("hunter2"), std::string::npos);
}

TEST(Envelope, EveryTruncationOfAValidBodyIsRefused) {
  for (std::string_view whole : {kWrapped, kFlat}) {
    std::string_view body = json_trim(whole);
    ASSERT_TRUE(parse_envelope(body));
    for (std::size_t size = 0; size < body.size(); ++size)
      EXPECT_EQ(refused(body.substr(0, size)).fault, EnvelopeFault::kInvalidJson) << size;
  }
}

// Whatever happens to a body on its way: it is refused, or what is forwarded is the JSON of its payload.
TEST(Envelope, DamagedBodiesNeverForwardAnythingButTheirPayload) {
  std::mt19937 random(5);
  const std::string alphabet = "{}[]\",:\\ 019-.eu";
  int accepted = 0;
  for (int round = 0; round < 10'000; ++round) {
    std::string body(round % 2 == 0 ? kWrapped : kFlat);
    for (unsigned edits = 1 + random() % 2; edits > 0; --edits) {
      std::size_t at = random() % body.size();
      if (random() % 2 == 0)
        body[at] = alphabet[random() % alphabet.size()];
      else
        body.erase(at, 1 + random() % 3);
    }
    auto parsed = parse_envelope(body);
    if (!parsed) continue;
    ++accepted;
    json original = json::parse(body);
    json expected = original;
    if (parsed->wrapped)
      expected = original["payload"];
    else
      for (const char* name : {"signature", "cost", "endpoint", "reqnum", "url"}) expected.erase(name);
    EXPECT_EQ(json::parse(forwarded(*parsed)), expected) << body;
  }
  EXPECT_GT(accepted, 300);
}

}  // namespace
}  // namespace cppworker
