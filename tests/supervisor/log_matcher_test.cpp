#include "supervisor/log_matcher.hpp"

#include <gmock/gmock.h>

namespace cppworker {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Pair;

LogPatterns tgi_patterns() {
  return {.ready = {R"("message":"Connected")", R"(text_generation_router\S*: .*: Connected$)"},
          .fatal = {"Error: ShardCannotStart", "Error: WebserverFailed"},
          .info = {R"("message":"Download)"},
          .captures = {{"max_capacity", R"(Setting max batch total tokens to (\d+))"}}};
}

LogEvents match(const LogPatterns& patterns, std::string_view line) {
  return LogMatcher::compile(patterns).value().match(line);
}

TEST(LogMatcher, KnowsTheReadyLinesOfTgi) {
  for (
      const char* line : {
          R"({"timestamp":"2024-02-21T05:10:01.304586Z","level":"INFO","message":"Connected","target":"text_generation_router"})",
          "2024-09-03T02:47:53.402023Z  INFO text_generation_router::server: router/src/server.rs:2311: "
          "Connected",
          "\x1b[2m2024-09-03T02:47:53Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2mtext_generation_router\x1b[0m: "
          "main.rs:247: Connected",
      }) {
    const LogEvents events = match(tgi_patterns(), line);
    EXPECT_TRUE(events.ready) << line;
    EXPECT_FALSE(events.fatal);
  }
}

TEST(LogMatcher, SaysNothingAboutOrdinaryLines) {
  for (const char* line : {"", "Connecting", R"({"message":"Connected?"})", "Error: something else"})
    EXPECT_FALSE(match(tgi_patterns(), line).any()) << line;
}

TEST(LogMatcher, TellsTheMeaningsApart) {
  EXPECT_TRUE(match(tgi_patterns(), "Error: ShardCannotStart").fatal);
  const LogEvents download = match(tgi_patterns(), R"({"fields":{"message":"Download: [1/1] -- ETA: 0\n"}})");
  EXPECT_TRUE(download.info);
  EXPECT_FALSE(download.ready);
}

TEST(LogMatcher, KnowsThePhasesOfLoading) {
  const LogPatterns patterns{.phases = {{LoadPhase::kDownload, "^Download"},
                                        {LoadPhase::kLoad, "^Load"},
                                        {LoadPhase::kWarmUp, "warm"}}};
  EXPECT_EQ(match(patterns, "Download file 3 of 9").phase, LoadPhase::kDownload);
  EXPECT_EQ(match(patterns, "Loading weights").phase, LoadPhase::kLoad);
  EXPECT_EQ(match(patterns, "Loading to warm up").phase, LoadPhase::kWarmUp) << "the later one of two";
  EXPECT_EQ(match(patterns, "something").phase, std::nullopt);
}

// The line itself may hold somebody's prompt; the pattern is the operator's.
TEST(LogMatcher, TellsByWhichPatternALineIsFatalLater) {
  const LogPatterns patterns{.fatal = {"broken"}, .fatal_after_ready = {"^CUDA error", "^Engine died"}};
  auto matcher = LogMatcher::compile(patterns);
  ASSERT_TRUE(matcher);
  EXPECT_EQ(matcher->match("Engine died: 7").fatal_after_ready, "^Engine died");
  EXPECT_EQ(matcher->match("Engine died: 7").fatal, false);
  EXPECT_EQ(matcher->match("broken").fatal_after_ready, "");
  EXPECT_EQ(matcher->match("prompt: Engine died").fatal_after_ready, "");
}

TEST(LogMatcher, ReadsFigures) {
  EXPECT_THAT(match(tgi_patterns(), R"({"message":"Setting max batch total tokens to 16000"})").captures,
              ElementsAre(Pair("max_capacity", 16000)));
  EXPECT_THAT(match({.captures = {{"x", R"(x=(\S+))"}}}, "x=1.5e3").captures, ElementsAre(Pair("x", 1500)));
}

TEST(LogMatcher, IgnoresFiguresThatAreNone) {
  for (const char* line : {"x=", "x=abc", "x=12abc", "x=inf", "x=nan", "x=1e999"})
    EXPECT_THAT(match({.captures = {{"x", R"(x=(\S*))"}}}, line).captures, IsEmpty()) << line;
}

TEST(LogMatcher, OneLineMaySaySeveralThings) {
  const LogEvents events =
      match({.ready = {"up"}, .fatal = {"down"}, .captures = {{"n", "n=([0-9]+)"}, {"m", "m=([0-9]+)"}}},
            "up and down n=1 m=2");
  EXPECT_TRUE(events.ready);
  EXPECT_TRUE(events.fatal);
  EXPECT_THAT(events.captures, testing::UnorderedElementsAre(Pair("n", 1), Pair("m", 2)));
}

TEST(LogMatcher, SurvivesBytesThatAreNoText) {
  const std::string line = std::string("a\0b\xff\xfe", 5) + "Error: ShardCannotStart";
  EXPECT_TRUE(match(tgi_patterns(), line).fatal);
}

TEST(LogMatcher, WithoutPatternsNothingMatches) {
  const auto matcher = LogMatcher::compile({});
  ASSERT_TRUE(matcher);
  EXPECT_FALSE(matcher->has_ready_pattern());
  EXPECT_FALSE(matcher->match("Connected").any());
  EXPECT_TRUE(LogMatcher::compile(tgi_patterns())->has_ready_pattern());
}

TEST(LogMatcher, RefusesABrokenPatternByName) {
  const auto broken = LogMatcher::compile({.fatal = {"("}});
  ASSERT_FALSE(broken);
  EXPECT_THAT(broken.error().message, HasSubstr("cannot use the fatal pattern \"(\": "));
  const auto groupless = LogMatcher::compile({.captures = {{"max_capacity", "\\d+"}}});
  ASSERT_FALSE(groupless);
  EXPECT_THAT(groupless.error().message, HasSubstr("needs a group"));
}

// The common automaton has a budget of memory; a pattern that blows it up must be slow at worst, never blind.
TEST(LogMatcher, FindsMatchesOfPatternsThatAreTooMuchForTheSet) {
  const LogPatterns patterns{.ready = {"needle"}, .info = {"(a|b)*a(a|b){400}$", "(x|y)*x(x|y){400}$"}};
  const auto matcher = LogMatcher::compile(patterns);
  ASSERT_TRUE(matcher);
  std::string line;
  unsigned bits = 12345;
  for (int i = 0; i < 60000; ++i) line += ((bits = bits * 1103515245 + 12345) >> 16) % 2 != 0 ? 'a' : 'b';
  EXPECT_TRUE(matcher->match(line + " needle").ready);
}

}  // namespace
}  // namespace cppworker
