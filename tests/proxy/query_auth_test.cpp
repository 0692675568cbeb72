#include "proxy/query_auth.hpp"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

namespace cppworker {
namespace {

using nlohmann::json;

QueryAuth taken(std::string_view target) {
  auto auth = take_query_auth(target);
  if (auth) return *auth;
  ADD_FAILURE() << target << " refused: " << auth.error().body;
  return {};
}

EnvelopeError refused(std::string_view target) {
  auto auth = take_query_auth(target);
  if (!auth) return auth.error();
  ADD_FAILURE() << "accepted: " << target;
  return {};
}

TEST(QueryAuthTest, PartsTheAuthFieldsFromTheTarget) {
  QueryAuth auth = taken(
      "/s?a=1&signature=c2ln&cost=256&endpoint=ep&reqnum=17&url=http%3A%2F%2Fh%3A1&request_idx=5&b=%7e");
  EXPECT_TRUE(auth.given);
  EXPECT_EQ(
      auth.auth_data,
      R"({"signature":"c2ln","cost":256,"endpoint":"ep","reqnum":17,"url":"http://h:1","request_idx":5})");
  EXPECT_EQ(auth.target, "/s?a=1&b=%7e");
}

TEST(QueryAuthTest, SuitsTheEnvelope) {
  QueryAuth auth = taken("/s?url=http://h:1&reqnum=17&endpoint=ep&cost=1e2&signature=c2ln&request_idx=-5");
  std::string text = auth.envelope();
  auto envelope = parse_envelope(text);
  ASSERT_TRUE(envelope) << envelope.error().body;
  EXPECT_TRUE(envelope->wrapped);
  EXPECT_EQ(envelope->auth.signature, "\"c2ln\"");
  EXPECT_EQ(envelope->auth.cost, "1e2");
  EXPECT_EQ(envelope->auth.reqnum_value, 17u);
  EXPECT_EQ(envelope->auth.request_idx_value, -5);
  EXPECT_EQ(envelope->payload_object, "{}");
  EXPECT_EQ(auth.target, "/s");
}

TEST(QueryAuthTest, LeavesTheRestByteForByte) {
  EXPECT_EQ(taken("/s").target, "/s");
  EXPECT_EQ(taken("/s?").target, "/s?");
  EXPECT_EQ(taken("/s?&a&&b=%zz&c==+%C3&").target, "/s?&a&&b=%zz&c==+%C3&");
  EXPECT_EQ(taken("/s?signature=x&&z=/?&a=1").target, "/s?&z=/?&a=1");
  EXPECT_EQ(taken("/s%20?x=signature&signature=x&signatures=1&Signature=2").target,
            "/s%20?x=signature&signatures=1&Signature=2");
}

TEST(QueryAuthTest, DropsTheApiKeyHoweverItIsSpelled) {
  EXPECT_EQ(taken("/s?api_key=secret").target, "/s");
  EXPECT_EQ(taken("/s?a=1&api%5Fkey=secret&api_key&b=2").target, "/s?a=1&b=2");
}

TEST(QueryAuthTest, MeansNothingWithoutASignature) {
  QueryAuth auth = taken("/s?url=http://h&cost=1&cost=%zz&api_key=secret");
  EXPECT_FALSE(auth.given);
  EXPECT_EQ(auth.auth_data, "{}");
  EXPECT_EQ(auth.target, "/s?url=http://h&cost=1&cost=%zz");
  std::string text = auth.envelope();
  EXPECT_TRUE(parse_envelope(text, false));
  EXPECT_FALSE(parse_envelope(text, true));
}

json member(std::string_view query, const char* name) {
  return json::parse(taken("/s?signature=x&" + std::string(query)).auth_data)[name];
}

TEST(QueryAuthTest, TakesAPlusInBase64AsAPlus) {
  QueryAuth auth = taken("/s?signature=a+b%2Bc%2bd/e%2F%3D=");
  EXPECT_EQ(auth.auth_data, R"({"signature":"a+b+c+d/e/=="})");
}

TEST(QueryAuthTest, TakesAPlusAsABlankOnlyWhereBlanksMayBe) {
  EXPECT_EQ(member("endpoint=my+end%20point%2B", "endpoint"), "my end point+");
  EXPECT_EQ(member("url=http://h/a+b", "url"), "http://h/a+b");
  EXPECT_EQ(taken("/s?signature=x&cost=1.5e+22").auth_data, R"({"signature":"x","cost":1.5e+22})");
}

TEST(QueryAuthTest, TellsNumbersFromStrings) {
  for (const char* number : {"0", "256", "300.0", "1e-07", "-1", "123456789012345678901234567890"})
    EXPECT_EQ(taken("/s?signature=x&cost=" + std::string(number)).auth_data,
              R"({"signature":"x","cost":)" + std::string(number) + "}");
  for (const char* text :
       {"", "abc", "01", "1.", ".5", "+5", "0x1", "NaN", "true", "null", "[1]", "{}", "1 2"})
    EXPECT_EQ(member("cost=" + std::string(text), "cost"), text);
  EXPECT_EQ(member("cost=%201", "cost"), " 1");
  EXPECT_EQ(member("cost=%221%22", "cost"), "\"1\"");
  EXPECT_EQ(member("endpoint=5&url=6", "endpoint"), "5");
  EXPECT_EQ(member("endpoint=5&url=6", "url"), "6");
}

TEST(QueryAuthTest, LeavesNumbersThatAreNoIntegersToTheEnvelope) {
  const std::string rest = "/s?signature=x&cost=1&endpoint=e&url=u";
  for (const char* bad : {"", "x", "1.0", "1e2", "true", "%5b%5d", "-1", "18446744073709551616"}) {
    std::string text = taken(rest + "&reqnum=" + bad).envelope();
    auto envelope = parse_envelope(text);
    ASSERT_FALSE(envelope) << bad;
    EXPECT_EQ(envelope.error().status, 422);
    EXPECT_NE(envelope.error().body.find("reqnum"), std::string::npos) << envelope.error().body;
  }
  std::string text = taken(rest + "&reqnum=1&request_idx=1.5").envelope();
  EXPECT_EQ(parse_envelope(text).error().body,
            R"({"auth_data":{"request_idx":"must be an integer of 64 bits"}})");
}

TEST(QueryAuthTest, ANameAloneHasAnEmptyValue) {
  EXPECT_EQ(taken("/s?signature&cost=1&url=").auth_data, R"({"signature":"","cost":1,"url":""})");
}

TEST(QueryAuthTest, EscapesWhatJsonEscapes) {
  EXPECT_EQ(member("endpoint=a%22%5C%00%0a%C3%A9%F0%9F%98%80", "endpoint"),
            json::parse(R"("a\"\\\u0000\n\u00e9\ud83d\ude00")"));
  // No way out of the string, and none into other members.
  EXPECT_EQ(json::parse(taken("/s?signature=x%22%2C%22cost%22%3A%221").auth_data).size(), 1u);
}

TEST(QueryAuthTest, RefusesAFieldThatComesTwice) {
  EnvelopeError error = refused("/s?signature=a&reqnum=1&a=2&reqnum=1");
  EXPECT_EQ(error.fault, EnvelopeFault::kRepeated);
  EXPECT_EQ(error.status, 422);
  EXPECT_EQ(error.body, R"({"auth_data":{"reqnum":"given twice"}})");
  EXPECT_EQ(refused("/s?signature=a&signature=a").fault, EnvelopeFault::kRepeated);
  EXPECT_EQ(refused("/s?signature=a&%73ignature=b").fault, EnvelopeFault::kRepeated);
  EXPECT_EQ(refused("/s?signature=a&cost&cost").fault, EnvelopeFault::kRepeated);
}

TEST(QueryAuthTest, RefusesWhatCannotBeDecoded) {
  for (const char* bad : {"%", "%4", "a%4", "%zz", "%4g", "%%41", "% 1", "%-1"}) {
    EnvelopeError error = refused("/s?signature=a&url=" + std::string(bad));
    EXPECT_EQ(error.status, 422);
    EXPECT_EQ(error.body, R"({"auth_data":{"url":"malformed percent encoding"}})") << bad;
  }
  EXPECT_EQ(refused(std::string_view("/s?signature=a&url=%41").substr(0, 21)).status, 422) << "looks ahead";
  for (const char* bad : {"%ff", "%C3", "%ED%A0%80", "%C0%80"})
    EXPECT_EQ(refused("/s?signature=a&url=" + std::string(bad)).body,
              R"({"auth_data":{"url":"must be UTF-8"}})");
}

TEST(QueryAuthTest, RefusesATargetThatIsTooLong) {
  std::string target = "/s?signature=x&a=";
  target.resize(kLongestAuthTarget, 'a');
  EXPECT_EQ(taken(target).auth_data, R"({"signature":"x"})");
  EXPECT_EQ(refused(target + "a").status, 414);
}

}  // namespace
}  // namespace cppworker
