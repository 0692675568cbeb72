#include "launchers/payload_template.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>

namespace cppworker {
namespace {

using nlohmann::json;
using testing::HasSubstr;

json expanded(const json& payload, std::uint64_t seed = 1) {
  return json::parse(PayloadTemplate::compile(payload, seed)->expand());
}

TEST(PayloadTemplate, WordsAndNumbersTakeTheirPlaces) {
  json body = expanded({{"inputs", "${words:250}"},
                        {"list", {"a ${words:2} b", 7}},
                        {"seed", "${int}"},
                        {"id", "run-${int}"},
                        {"deep", {{"plain", "$words {x}"}, {"n", 1.5}, {"none", nullptr}}}});
  auto inputs = body["inputs"].get<std::string>();
  EXPECT_EQ(std::count(inputs.begin(), inputs.end(), ' '), 249);
  EXPECT_THAT(body["list"][0].get<std::string>(), testing::MatchesRegex("a [a-z]+ [a-z]+ b"));
  EXPECT_TRUE(body["seed"].is_number_unsigned());
  EXPECT_LE(body["seed"].get<std::uint64_t>(), PayloadTemplate::kLargestInt);
  EXPECT_THAT(body["id"].get<std::string>(), testing::MatchesRegex("run-[0-9]+"));
  EXPECT_EQ(body["deep"], (json{{"plain", "$words {x}"}, {"n", 1.5}, {"none", nullptr}}));
  EXPECT_EQ(body["list"][1], 7);
}

TEST(PayloadTemplate, EachBodyIsAnotherAndTheSeedDecidesAll) {
  json payload = {{"inputs", "${words:20}"}};
  auto first = PayloadTemplate::compile(payload, 1).value();
  auto again = PayloadTemplate::compile(payload, 1).value();
  auto other = PayloadTemplate::compile(payload, 2).value();
  std::string a = first.expand(), b = first.expand();
  EXPECT_NE(a, b);
  EXPECT_EQ(again.expand(), a);
  EXPECT_EQ(again.expand(), b);
  EXPECT_NE(other.expand(), a);
}

TEST(PayloadTemplate, UnknownPlaceholdersAreRefused) {
  for (const char* text : {"${word:3}", "${words}", "${words:0}", "${words:-1}", "${words:x}", "${words:5",
                           "${}", "${words:1000001}", "a ${int} ${no}"}) {
    auto compiled = PayloadTemplate::compile({{"deep", {text}}}, 1);
    ASSERT_FALSE(compiled) << text;
    EXPECT_THAT(compiled.error().message, HasSubstr("cannot use the benchmark payload")) << text;
  }
}

}  // namespace
}  // namespace cppworker
