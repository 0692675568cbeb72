#include "proxy/session_auth.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <random>
#include <set>
#include <vector>
#include <nlohmann/json.hpp>

#include "common/json_scan.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

SessionDigest digest(std::string_view text) {
  EXPECT_EQ(validate_json(text), JsonFault::kNone) << text;
  auto made = digest_auth_data(text);
  EXPECT_TRUE(made) << text;
  return made.value_or(SessionDigest{});
}

TEST(SessionAuth, TheSameValuesInAnySpellingAreEqual) {
  const std::vector<std::vector<std::string>> groups = {
      {R"({"a":1,"b":2})", R"({"b":2,"a":1})", "{ \"b\" :\n2 , \"a\"\t:1 }", R"({"\u0061":1,"b":2})",
       R"({"a":7,"b":2,"a":1})"},
      {R"({"a":{"x":1,"y":[1,2]}})", R"({"a":{"y":[1, 2],"x":1}})"},
      {R"({"s":"a/é😀"})", R"({"s":"a\/\u00e9\ud83d\ude00"})", R"({"s":"\u0061/\u00E9\uD83D\uDE00"})"},
      {R"({"n":100})", R"({"n":100.0})", R"({"n":1e2})", R"({"n":1E+2})", R"({"n":1000e-1})"},
      {R"({"n":0})", R"({"n":-0})", R"({"n":0.0})", R"({"n":-0.0})", R"({"n":0e5})", R"({"n":1e-999})"},
      {R"({"n":0.1})", R"({"n":1e-1})", R"({"n":0.100})", R"({"n":0.1000000000000000055511151231257827})"},
      {R"({"n":123456789012345678901234567890})"},
      {R"({"n":18446744073709551615})"},
      {"[]", "[ ]"},
      {"{}", "{ }"},
  };
  for (const auto& group : groups)
    for (const std::string& other : group) EXPECT_EQ(digest(group[0]), digest(other)) << other;
}

// From 2^53 on a double stands for several integers, of which it would be taken for one.
TEST(SessionAuth, ADoubleThatMayBeSeveralIntegersIsNoneOfThem) {
  EXPECT_EQ(digest(R"({"n":9007199254740991.0})"), digest(R"({"n":9007199254740991})"));
  EXPECT_NE(digest(R"({"n":9007199254740993.0})"), digest(R"({"n":9007199254740992})"));
  EXPECT_NE(digest(R"({"n":1e17})"), digest(R"({"n":100000000000000000})"));
}

TEST(SessionAuth, OtherValuesAreNot) {
  const std::vector<std::string> different = {
      R"({"a":1})",
      R"({"a":"1"})",
      R"({"a":true})",
      R"({"a":false})",
      R"({"a":null})",
      "{}",
      "[]",
      R"({"a":2})",
      R"({"a":-1})",
      R"({"a":1.5})",
      R"({"a":[1]})",
      R"({"a":{"a":1}})",
      R"({"b":1})",
      R"({"A":1})",
      R"({"a":1,"b":null})",
      R"({"a":[1,2]})",
      R"({"a":[2,1]})",
      R"({"a":[[1],2]})",
      R"({"a":[12]})",
      R"({"a":["1,2"]})",
      R"({"a":"null"})",
      R"({"a":"true"})",
      R"({"a":""})",
      R"({"a":"1 "})",
      R"({"a":"é"})",
      R"({"a":"e\u0301"})",
      R"({"a":"\u0000"})",
      R"({"a":"\ud83d"})",
      R"({"a":18446744073709551615})",
      R"({"a":18446744073709551616})",
      R"({"a":9007199254740993})",
      R"({"a":9007199254740992})",
      R"({"a":1e400})",
      R"({"a":-1e400})",
      R"({"a":[null,1]})",
      R"({"a":[null,null]})",
      R"({"a":"s1:b"})",
  };
  std::set<SessionDigest> digests;
  for (const std::string& each : different) EXPECT_TRUE(digests.insert(digest(each)).second) << each;
}

json random_value(std::mt19937& random, int depth) {
  switch (random() % (depth < 4 ? 7 : 5)) {
    case 0:
      return nullptr;
    case 1:
      return random() % 2 == 0;
    case 2:
      return static_cast<std::int64_t>(random() % 5) - 2;
    case 3:
      return static_cast<double>(random() % 7) / 4;
    case 4:
      return std::string(random() % 3, "ab\"\\"[random() % 4]);
    case 5: {
      json list = json::array();
      for (unsigned i = random() % 4; i > 0; --i) list.push_back(random_value(random, depth + 1));
      return list;
    }
    default: {
      json object = json::object();
      for (unsigned i = random() % 4; i > 0; --i)
        object[std::string(1, "abc"[random() % 3])] = random_value(random, depth + 1);
      return object;
    }
  }
}

// Against another implementation's idea of equality: nlohmann's, where true isn't 1 and 1 is 1.0.
TEST(SessionAuth, DigestsAreEqualExactlyWhenTheValuesAre) {
  std::mt19937 random(7);
  int equal = 0;
  for (int round = 0; round < 20'000; ++round) {
    json a = random_value(random, 0);
    json b = random() % 4 == 0 ? a : random_value(random, 0);
    EXPECT_EQ(digest(a.dump()) == digest(b.dump(2)), a == b) << a << " and " << b;
    equal += a == b;
  }
  EXPECT_GT(equal, 1000);
}

TEST(SessionAuth, WhatNoSessionCouldHaveHasNoDigest) {
  EXPECT_TRUE(digest_auth_data("\"" + std::string(16'000, 'a') + "\""));
  EXPECT_FALSE(digest_auth_data("\"" + std::string(17'000, 'a') + "\""));
  auto nested = [](std::size_t depth) { return std::string(depth, '[') + std::string(depth, ']'); };
  EXPECT_TRUE(digest_auth_data(nested(16)));
  EXPECT_FALSE(digest_auth_data(nested(17)));
  EXPECT_FALSE(digest_auth_data(R"({"a":)" + nested(16) + "}"));
}

TEST(SessionAuth, OnlyTheSameDigestIsTheSame) {
  SessionDigest session = digest(R"({"a":1})");
  EXPECT_TRUE(same_auth_data(session, session));
  EXPECT_FALSE(same_auth_data(session, std::nullopt));
  for (unsigned char& byte : session) {
    SessionDigest before = session;
    byte ^= 0x80;
    EXPECT_FALSE(same_auth_data(session, before));
    byte ^= 0x80;
  }
}

TEST(SessionAuth, AnIdHasThirteenLettersAndDigitsAndNeverComesTwice) {
  std::set<std::string> ids;
  for (int i = 0; i < 2000; ++i) {
    std::string id = make_session_id().value();
    EXPECT_EQ(id.size(), 13u);
    EXPECT_TRUE(std::all_of(id.begin(), id.end(), [](unsigned char c) { return std::isalnum(c) != 0; }));
    EXPECT_TRUE(ids.insert(id).second);
  }
}

// 256 values aren't a multiple of 62: taken modulo, the first eight letters would come five times in 256
// where the others come four times.
TEST(SessionAuth, EveryLetterComesFromAsManyBytes) {
  std::array<int, 256> count{};
  for (int value = 0; value < 256; ++value) {
    int given = 0;
    auto random = [&](std::span<unsigned char> bytes) {
      // The value under test first; then ones that are good for certain.
      std::fill(bytes.begin(), bytes.end(), 0);
      if (given++ == 0) bytes[0] = static_cast<unsigned char>(value);
      return true;
    };
    std::string id = make_session_id(random).value();
    if (value < 248) ++count[static_cast<unsigned char>(id[0])];
    if (value >= 248) {
      EXPECT_EQ(id, std::string(13, '0')) << value;
    }
  }
  EXPECT_EQ(std::count(count.begin(), count.end(), 4), 62);
  EXPECT_EQ(std::count(count.begin(), count.end(), 0), 256 - 62);
}

TEST(SessionAuth, AGeneratorThatFailsMakesNoId) {
  EXPECT_FALSE(make_session_id([](std::span<unsigned char>) { return false; }));
  EXPECT_FALSE(make_session_id([](std::span<unsigned char> bytes) {
    std::fill(bytes.begin(), bytes.end(), 255);
    return true;
  }));
}

}  // namespace
}  // namespace cppworker
