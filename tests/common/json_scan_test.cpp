#include "common/json_scan.hpp"

#include <gtest/gtest.h>

#include <cmath>
#include <random>
#include <vector>
#include <nlohmann/json.hpp>

namespace cppworker {
namespace {

JsonFault check(std::string_view text) {
  return validate_json(text);
}

std::string decoded(std::string_view string_value) {
  std::string out;
  append_json_string(out, string_value);
  return out;
}

std::string nested(int depth) {
  return std::string(static_cast<std::size_t>(depth), '[') +
         std::string(static_cast<std::size_t>(depth), ']');
}

TEST(JsonScan, AcceptsEachKindOfValue) {
  for (const char* text : {"null",
                           "true",
                           "false",
                           "0",
                           "-0",
                           "17",
                           "-1.5",
                           "1e5",
                           "1E+5",
                           "0.25e-7",
                           "\"\"",
                           "\"a\\u0041\\n\\/\"",
                           "[]",
                           "{}",
                           "[1,[2,{\"a\":[]}],{}]",
                           " \t\r\n{ \"a\" : 1 , \"b\" : [ ] }\n",
                           "{\"a\":1,\"a\":2}",
                           "123456789012345678901234567890123456789012345678901234567890",
                           "1e999999999999",
                           "\"\\ud83d\"",
                           "\"\\uDE00x\"",
                           "\"\\ud83d\\ude00\"",
                           "\"p\xc3\xb6nt \xf0\x9f\x98\x80\"",
                           "\"\x7f\""})
    EXPECT_EQ(check(text), JsonFault::kNone) << text;
}

TEST(JsonScan, RefusesWhatIsAlmostJson) {
  for (std::string_view text : {"",
                                " ",
                                "nul",
                                "nulll",
                                "True",
                                "NaN",
                                "Infinity",
                                "-Infinity",
                                "+1",
                                "01",
                                "-01",
                                "-",
                                "1.",
                                ".5",
                                "1e",
                                "1e+",
                                "0x10",
                                "1_000",
                                "'a'",
                                "\"a",
                                "\"\\x\"",
                                "\"\\u12g4\"",
                                "\"\\u123\"",
                                "\"a\nb\"",
                                "\"a\tb\"",
                                "[1,]",
                                "[,1]",
                                "[1 2]",
                                "[1",
                                "]",
                                "{",
                                "{\"a\"}",
                                "{\"a\":}",
                                "{\"a\":1,}",
                                "{,}",
                                "{a:1}",
                                "{\"a\":1 \"b\":2}",
                                "{1:2}",
                                "{\"a\":1]",
                                "[1}",
                                "1 2",
                                "{} {}",
                                "// x\n1",
                                "/**/1",
                                "\xef\xbb\xbf{}",
                                "\xc2\xa0"
                                "1",
                                "[1]\f"})
    EXPECT_EQ(check(text), JsonFault::kMalformed) << text;
  using namespace std::string_view_literals;
  EXPECT_EQ(check("{}\0"sv), JsonFault::kMalformed);
  EXPECT_EQ(check("\"a\0b\""sv), JsonFault::kMalformed);
}

TEST(JsonScan, RefusesBytesThatAreNotUtf8) {
  for (std::string_view text : {"\"\xff\"", "\"\xc0\xaf\"", "\"\xed\xa0\x80\"", "\"\xf4\x90\x80\x80\"",
                                "\"\xe2\x82\"", "{\"k\xfe\":1}", "\"0123456789abcdef0123456789abcdef\x80\""})
    EXPECT_EQ(check(text), JsonFault::kNotUtf8);
}

TEST(JsonScan, LimitsTheDepthButNotTheLength) {
  EXPECT_EQ(validate_json(nested(256)), JsonFault::kNone);
  EXPECT_EQ(validate_json(nested(257)), JsonFault::kTooDeep);
  EXPECT_EQ(validate_json(nested(3), 3), JsonFault::kNone);
  EXPECT_EQ(validate_json("[[1],[2],{\"a\":[3]}]", 3), JsonFault::kNone);
  EXPECT_EQ(validate_json(nested(4), 3), JsonFault::kTooDeep);
  EXPECT_EQ(validate_json(nested(kDeepestJson), 1'000'000), JsonFault::kNone);
  EXPECT_EQ(validate_json(nested(kDeepestJson + 1), 1'000'000), JsonFault::kTooDeep);
  EXPECT_EQ(validate_json(std::string(100'000'000 / 50, '[')), JsonFault::kTooDeep);
}

TEST(JsonScan, RemembersTheKindOfEachOpenContainer) {
  // 200 levels, objects and arrays mixed in a pattern of period 3, across the words of the bit stack.
  std::string open, close;
  for (int i = 0; i < 200; ++i) {
    open += i % 3 == 0 ? "{\"k\":" : "[";
    close.insert(0, i % 3 == 0 ? "}" : "]");
  }
  EXPECT_EQ(check(open + "1" + close), JsonFault::kNone);
  for (std::size_t i = 0; i < close.size(); ++i) {
    std::string wrong = close;
    wrong[i] = wrong[i] == '}' ? ']' : '}';
    EXPECT_EQ(check(open + "1" + wrong), JsonFault::kMalformed) << i;
  }
}

TEST(JsonScan, FindsTheEndOfAStringAtEachOffset) {
  // Every position of the interesting byte relative to the 16-byte blocks.
  for (std::size_t before = 0; before < 40; ++before) {
    for (std::size_t after = 0; after < 20; ++after) {
      std::string pad(before, 'x'), tail(after, 'y');
      EXPECT_EQ(check("\"" + pad + tail + "\""), JsonFault::kNone);
      EXPECT_EQ(check("\"" + pad + "\x01" + tail + "\""), JsonFault::kMalformed);
      EXPECT_EQ(check("\"" + pad + "\x1f" + tail + "\""), JsonFault::kMalformed);
      EXPECT_EQ(check("\"" + pad + "\x20\x7f" + tail + "\""), JsonFault::kNone);
      EXPECT_EQ(check("\"" + pad + "\\\"" + tail + "\""), JsonFault::kNone);
      EXPECT_EQ(check("\"" + pad + "\"" + tail + "\""), JsonFault::kMalformed);
      EXPECT_EQ(check("\"" + pad + "\\" + tail), JsonFault::kMalformed);
    }
  }
}

TEST(JsonScan, EveryTruncationOfAnObjectIsRefused) {
  std::string text =
      R"({"a": [1, -2.5e3, true, null], "b\u0063": {"c": "x\ud83d\ude00\"y"}, "d": "ö", "e": false})";
  ASSERT_EQ(check(text), JsonFault::kNone);
  for (std::size_t size = 0; size < text.size(); ++size)
    EXPECT_NE(check(std::string_view(text).substr(0, size)), JsonFault::kNone) << size;
}

TEST(JsonScan, ReportsTheOutermostMembersAsSlicesOfTheText) {
  std::string text = R"( { "a" : {"x":1} ,"b\n":[ {"y":2} ], "c":"s" , "d":-1.5 } )";
  std::vector<std::pair<std::string, std::string>> seen;
  std::vector<bool> escaped;
  JsonFault fault = validate_json_members(text, kDefaultJsonDepth, [&](const JsonMember& member) {
    EXPECT_GE(member.value.data(), text.data());
    EXPECT_LE(member.value.data() + member.value.size(), text.data() + text.size());
    seen.emplace_back(member.key, member.value);
    escaped.push_back(member.key_escaped);
  });
  EXPECT_EQ(fault, JsonFault::kNone);
  std::vector<std::pair<std::string, std::string>> expected = {
      {"a", "{\"x\":1}"}, {"b\\n", "[ {\"y\":2} ]"}, {"c", "\"s\""}, {"d", "-1.5"}};
  EXPECT_EQ(seen, expected);
  EXPECT_EQ(escaped, (std::vector<bool>{false, true, false, false}));
}

// Collects "parent/key=value" of the members one level in, and "key=value" of the outermost.
struct BothLevels {
  std::vector<std::string> seen;

  void operator()(const JsonMember& member) {
    seen.push_back(std::string(member.key) + "=" + std::string(member.value));
  }
  void operator()(const JsonMember& parent, const JsonMember& member) {
    seen.push_back(std::string(parent.key) + "/" + std::string(member.key) + "=" + std::string(member.value));
  }
};

TEST(JsonScan, ReportsTheMembersOfMembersToWhoeverTakesThem) {
  BothLevels levels;
  std::string text = R"({"a": {"x": {"deep": [1]} , "y":-2.5} ,"b":[{"no":1}],"c":{}, "d" :{"x":"s"},"e":1})";
  ASSERT_EQ(validate_json_members(text, kDefaultJsonDepth, levels), JsonFault::kNone);
  EXPECT_EQ(levels.seen, (std::vector<std::string>{R"(a/x={"deep": [1]})", "a/y=-2.5",
                                                   R"(a={"x": {"deep": [1]} , "y":-2.5})", R"(b=[{"no":1}])",
                                                   "c={}", R"(d/x="s")", R"(d={"x":"s"})", "e=1"}));
}

TEST(JsonScan, ReportsNoMembersOfMembersInAnArray) {
  for (const char* text : {R"([{"a":{"b":1}}])", R"([[{"a":1}]])", R"([1,{"a":{"b":1}}])"}) {
    BothLevels levels;
    ASSERT_EQ(validate_json_members(text, kDefaultJsonDepth, levels), JsonFault::kNone);
    EXPECT_TRUE(levels.seen.empty()) << text;
  }
}

TEST(JsonScan, ReadsAnObjectFromItsMembersWhereTheyAreKnown) {
  const JsonMember known[] = {{"a", "1", false}, {R"(b)", "2", true}, {"a", "3", false}};
  const JsonObject object("not looked at", known);
  EXPECT_EQ(find_json_member(object, "a"), "3");
  EXPECT_EQ(find_json_member(object, "b"), "2");
  EXPECT_EQ(find_json_member(object, "c"), std::nullopt);
}

TEST(JsonScan, ReportsNoMembersOfAnArray) {
  int members = 0;
  EXPECT_EQ(validate_json_members(R"([{"a":1}])", kDefaultJsonDepth, [&](const JsonMember&) { ++members; }),
            JsonFault::kNone);
  EXPECT_EQ(members, 0);
}

TEST(JsonSlices, MembersAndItemsComeInOrderWithoutBlanks) {
  JsonMembers members(R"({ "a" : [1 , "]"] , "" : {"k":"}"} ,"c":null})");
  auto a = members.next(), empty = members.next(), c = members.next();
  ASSERT_TRUE(a && empty && c);
  EXPECT_FALSE(members.next());
  EXPECT_EQ(a->key, "a");
  EXPECT_EQ(a->value, R"([1 , "]"])");
  EXPECT_EQ(empty->key, "");
  EXPECT_EQ(empty->value, R"({"k":"}"})");
  EXPECT_EQ(c->value, "null");

  JsonItems items(R"([ 1 ,[2,"\""], {"a":"\\"} ,true ])");
  std::vector<std::string> seen;
  while (auto item = items.next()) seen.emplace_back(*item);
  EXPECT_EQ(seen, (std::vector<std::string>{"1", R"([2,"\""])", R"({"a":"\\"})", "true"}));
  EXPECT_FALSE(JsonItems("[ ]").next());
  EXPECT_FALSE(JsonMembers("{ }").next());
  EXPECT_FALSE(JsonMembers("[1]").next());
  EXPECT_FALSE(JsonItems("17").next());
}

TEST(JsonSlices, TheLastOfARepeatedNameCounts) {
  EXPECT_EQ(find_json_member(R"({"a":1,"b":2,"a":3})", "a"), "3");
  EXPECT_EQ(find_json_member(R"({"a":1,"\u0061":{"b":2}})", "a"), R"({"b":2})");
  EXPECT_EQ(find_json_member(R"({"a":{"b":1}})", "b"), std::nullopt);
  EXPECT_EQ(find_json_member(R"("a")", "a"), std::nullopt);
}

TEST(JsonSlices, AKeyIsWhatItsEscapesSpell) {
  auto is = [](std::string_view key, std::string_view name) {
    std::string text = "{\"" + std::string(key) + "\":1}";
    return json_key_is(*JsonMembers(text).next(), name);
  };
  EXPECT_TRUE(is("cost", "cost"));
  EXPECT_TRUE(is("\\u0063ost", "cost"));
  EXPECT_TRUE(is("\\u0063\\u006f\\u0073\\u0074", "cost"));
  EXPECT_TRUE(is("cos\\u0074", "cost"));
  EXPECT_FALSE(is("cos\\u0054", "cost"));
  EXPECT_FALSE(is("cost\\u0000", "cost"));
  EXPECT_FALSE(is("\\u0063os", "cost"));
  EXPECT_FALSE(is("\\u0163ost", "cost"));
  EXPECT_FALSE(is("COST", "cost"));
}

TEST(JsonSlices, DecodesEscapesPairsAndLoneSurrogates) {
  EXPECT_EQ(decoded(R"("a\"\\\/\b\f\n\r\tz")"), "a\"\\/\b\f\n\r\tz");
  EXPECT_EQ(decoded(R"("\u00f6\u65e5\ud83d\ude00")"), "\xc3\xb6\xe6\x97\xa5\xf0\x9f\x98\x80");
  EXPECT_EQ(decoded(R"("\ud83dx")"), "\xed\xa0\xbdx");
  EXPECT_EQ(decoded(R"("\ude00\ud83d")"), "\xed\xb8\x80\xed\xa0\xbd");
  EXPECT_EQ(decoded(R"("\ud83d\ud83d\ude00")"), "\xed\xa0\xbd\xf0\x9f\x98\x80");
  EXPECT_EQ(decoded(R"("\ud83d\n")"), "\xed\xa0\xbd\n");
  EXPECT_EQ(decoded(R"("\u0000")"), std::string(1, '\0'));
  EXPECT_EQ(decoded("\"\""), "");

  JsonCharacters characters("\"\xc3\xb6\\ud83d\\ude00\xf0\x9f\x98\x80\xe2\x82\xac\"");
  EXPECT_EQ(characters.next(), U'\u00f6');
  EXPECT_EQ(characters.next(), U'\U0001f600');
  EXPECT_EQ(characters.next(), U'\U0001f600');
  EXPECT_EQ(characters.next(), U'\u20ac');
  EXPECT_EQ(characters.next(), std::nullopt);
}

TEST(JsonSlices, CountsCharactersAsPythonDoes) {
  EXPECT_EQ(json_string_length("\"\""), 0U);
  EXPECT_EQ(json_string_length("\"h\xc3\xb6 \xf0\x9f\x98\x80\""), 4U);
  EXPECT_EQ(json_string_length(R"("\ud83d\ude00\ud83d\n\"")"), 4U);
  for (std::size_t size : {15U, 16U, 17U, 255U * 16U, 255U * 16U + 1U, 10'000U}) {
    std::string text = "\"";
    for (std::size_t i = 0; i < size; ++i) text += i % 2 == 0 ? "x" : "\xe2\x82\xac";
    EXPECT_EQ(json_string_length(text + "\""), size);
  }
}

TEST(JsonSlices, NumbersSaturate) {
  EXPECT_EQ(json_number("12.5"), 12.5);
  EXPECT_EQ(json_number("1e999"), HUGE_VAL);
  EXPECT_EQ(json_number("-1e999"), -HUGE_VAL);
  EXPECT_EQ(json_number("1e-999"), 0.0);
  EXPECT_TRUE(std::signbit(json_number("-1e-999")));
  EXPECT_EQ(json_number("1e99999999999999999999"), HUGE_VAL);
  EXPECT_EQ(json_number("1e-99999999999999999999"), 0.0);
  EXPECT_EQ(json_number("0e99999999999999999999"), 0.0);
  EXPECT_EQ(json_number(std::string(400, '9')), HUGE_VAL);
  EXPECT_EQ(json_number("0." + std::string(400, '0') + "1"), 0.0);
  EXPECT_EQ(json_number(std::string(400, '9') + "e-399"), 10.0);
  EXPECT_EQ(json_number("5e-324"), 5e-324);
}

TEST(JsonSlices, TrimsBlanksOnly) {
  EXPECT_EQ(json_trim(" \t\r\n{ }\n "), "{ }");
  EXPECT_EQ(json_trim("   "), "");
  EXPECT_EQ(json_trim("\f1"), "\f1");
}

// Random damage, with another parser's verdict beside ours. It differs in three known ways, taken into
// account: it refuses lone surrogates, skips a byte order mark, and refuses numbers that overflow a double.
TEST(JsonScan, AgreesWithAnotherParserOnThousandsOfMutations) {
  const std::vector<std::string> seeds = {
      R"({"auth_data":{"signature":"abc=","cost":256.5,"endpoint":"p\u00f6nt","reqnum":17,"url":"http://h:1"},)"
      R"("payload":{"inputs":"say \"hi\"\n","parameters":{"max_new_tokens":250,"stop":["a","b"],"seed":null}}})",
      R"([1, -0, 0.5, 1e5, 12E-3, true, false, null, "", "\\", {}, [], [[]], {"a":{"b":[1,2,{"c":3}]}}])",
      "\"h\xc3\xb6\xf0\x9f\x98\x80 \xe2\x82\xac\"", "  {\n  \"k\" :\t[ ]\r\n}\n"};
  const std::string alphabet = "{}[]\",:\\/ \n\t0123456789-+.eEtrufalsn\x01\x7f\xc3\xb6\xf0\x80\xed";
  std::mt19937 random(2024);
  auto below = [&](std::size_t limit) { return random() % limit; };
  int accepted = 0;
  constexpr int kRounds = 20'000;
  for (int round = 0; round < kRounds; ++round) {
    std::string text = seeds[below(seeds.size())];
    for (std::size_t edits = 1 + below(3); edits > 0; --edits) {
      std::size_t at = below(text.size() + 1);
      switch (below(4)) {
        case 0:
          text.insert(at, 1, alphabet[below(alphabet.size())]);
          break;
        case 1:
          if (at < text.size()) text[at] = alphabet[below(alphabet.size())];
          break;
        case 2:
          text.erase(at, 1 + below(4));
          break;
        default:
          text.insert(at, text.substr(below(text.size() + 1), below(12)));
      }
    }
    bool ours = check(text) == JsonFault::kNone;
    bool theirs = nlohmann::json::accept(text);
    accepted += ours;
    if (ours == theirs) continue;
    // Without surrogates and exponents the two must agree.
    std::string plain = text;
    for (std::size_t at = 0; (at = plain.find("\\ud", at)) != std::string::npos; ++at) plain[at + 2] = '0';
    for (std::size_t at = 0; (at = plain.find("\\uD", at)) != std::string::npos; ++at) plain[at + 2] = '0';
    EXPECT_EQ(check(plain) == JsonFault::kNone, nlohmann::json::accept(plain)) << text;
  }
  // Both outcomes have to occur often, or nothing was compared.
  EXPECT_GT(accepted, kRounds / 20);
  EXPECT_LT(accepted, kRounds / 2);
}

}  // namespace
}  // namespace cppworker
