#include "launchers/workload.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace cppworker {
namespace {

using testing::HasSubstr;

constexpr std::string_view kPayload =
    R"({"inputs": "How far is the moon?", "parameters": {"max_new_tokens": 250, "best_of": null, "stop": ["a", "bb"]},)"
    R"("width": 512, "height": "768", "messages": [{"content": "one two"}, {"content": "h\u00f6 \ud83d\ude00"}],)"
    R"("flag": true, "huge": 1e999, "big": 9223372036854775807})";

std::int64_t milli(const std::string& formula, std::string_view payload = kPayload) {
  auto workload = Workload::compile(formula);
  if (!workload) {
    ADD_FAILURE() << workload.error().message;
    return -1;
  }
  auto units = WorkloadEvaluator(*workload).milli_units(payload);
  if (!units) ADD_FAILURE() << units.error().message;
  return units ? *units : -1;
}

std::string evaluation_error(const std::string& formula, std::string_view payload = kPayload) {
  auto workload = Workload::compile(formula);
  if (!workload) {
    ADD_FAILURE() << workload.error().message;
    return "";
  }
  auto units = WorkloadEvaluator(*workload).milli_units(payload);
  return units ? "no error" : units.error().message;
}

TEST(Workload, ANumberIsItself) {
  EXPECT_EQ(WorkloadEvaluator(Workload::constant(2.5)).milli_units("").value(), 2500);
  EXPECT_EQ(WorkloadEvaluator(Workload::constant(-1)).milli_units("").value(), 0);
  EXPECT_TRUE(Workload::constant(1).is_constant());
  EXPECT_FALSE(Workload::compile("payload.n")->is_constant());
}

TEST(Workload, APathIsTheNumberThereOrZero) {
  EXPECT_EQ(milli("payload.parameters.max_new_tokens"), 250'000);
  EXPECT_EQ(milli(" payload.width "), 512'000);
  EXPECT_EQ(milli("payload.height"), 768'000);
  for (const char* missing :
       {"payload.n", "payload.parameters.n", "payload.inputs", "payload.inputs.n", "payload.flag",
        "payload.parameters", "payload.parameters.best_of", "payload.messages.content"})
    EXPECT_EQ(milli(missing), 0) << missing;
  EXPECT_EQ(milli("payload.n", ""), 0);
  EXPECT_EQ(milli("payload.n", R"({"n": 1, "\u006e": 3})"), 3000);
}

// What is evaluated without Lua (simple_formula.hpp), and as a function, which is left to Lua.
TEST(Workload, TheUsualFormulasHaveTheSameValueWithLuaAndWithout) {
  for (const char* formula :
       {"num(payload.parameters.max_new_tokens, 100) + chars(payload.inputs) / 4", "num(payload.width)*3-1",
        "num(payload.height, 5) + 1", "num(payload.parameters.best_of, 7) - -2 + 9", "num(payload.flag, 4)",
        "chars(payload.width) + chars(payload.messages) + chars(payload.parameters.stop)",
        "2 * (num(payload.width) - 12) / (num(payload.nothing, 2) + 3)", "num(payload.huge)",
        "num(payload.big) / 1e3", "0x10 + num(payload.width)", "num(payload.inputs.length, .5)",
        "num(payload.width) / num(payload.nothing)", "num(payload.width) -- chars(payload.inputs)"}) {
    std::string by_lua = "(function() return " + std::string(formula) + "\nend)()";
    EXPECT_EQ(milli(formula), milli(by_lua)) << formula;
  }
  constexpr std::string_view kRepeated = R"({"a": "x", "\u0061": {"b": 2.5, "b": 4}, "a": {"b": 8}})";
  EXPECT_EQ(milli("num(payload.a.b) + chars(payload.a)", kRepeated), 8000);
  EXPECT_FALSE(Workload::compile("num(payload.end)")) << "a word of Lua's own";
}

TEST(Workload, AnExpressionComputesWithWhatThePayloadHas) {
  EXPECT_EQ(milli("num(payload.parameters.max_new_tokens, 100) + chars(payload.inputs) / 4"), 255'000);
  EXPECT_EQ(milli("num(payload.parameters.max_tokens, 100) + chars(payload.input) / 4"), 100'000);
  EXPECT_EQ(milli("num(payload.width, 512) * num(payload.height, 512) * num(payload.steps, 50)"),
            19'660'800'000);
  EXPECT_EQ(milli("words(payload.inputs)"), 5'000);
  EXPECT_EQ(milli("math.max(payload.width, 1024)"), 1'024'000);
  EXPECT_EQ(milli("payload.flag and 7 or 8"), 7'000);
  EXPECT_EQ(milli("#payload.messages + #payload.parameters.stop"), 4'000);
  EXPECT_EQ(milli("chars(payload.messages[1].content) + chars(payload.messages[2].content)"), 11'000);
  EXPECT_EQ(milli("chars(payload.messages[0]) + chars(payload.messages[3]) + chars(payload.messages[-1])"),
            0);
  EXPECT_EQ(
      milli("(function() local n = 0; for _, m in ipairs(payload.messages) do n = n + words(m.content) end "
            "return n end)()"),
      4'000);
  EXPECT_EQ(milli("payload.inputs == 'How far is the moon?' and 1 or 0"), 1'000);
  EXPECT_EQ(milli("num(nil) + num('x', 2) + num('3') + num(payload.missing.deeply, 4)"), 9'000);
}

TEST(Workload, WhatIsMissingIsNilAtAnyDepth) {
  EXPECT_EQ(milli("num(payload.a.b.c.d, 3)"), 3'000);
  EXPECT_EQ(milli("num(payload.inputs.length.x, 3)"), 3'000);
  EXPECT_EQ(milli("num(payload.width.x.y, 3)"), 3'000);
  EXPECT_EQ(milli("num(payload.flag.x, 3)"), 3'000);
  EXPECT_EQ(milli("num(payload.a, 3)", ""), 3'000);
}

TEST(Workload, ResultsAreClamped) {
  EXPECT_EQ(milli("-5 * num(payload.width)"), 0);
  EXPECT_EQ(milli("payload.huge"), Workload::kMostMilliUnits);
  EXPECT_EQ(milli("payload.huge * 2"), Workload::kMostMilliUnits);
  // As integers these would wrap round to something small.
  EXPECT_EQ(milli("payload.big * payload.big"), Workload::kMostMilliUnits);
  EXPECT_EQ(milli("payload.big * 4"), Workload::kMostMilliUnits);
  EXPECT_THAT(evaluation_error("payload.huge - payload.huge"), HasSubstr("not a number"));
}

TEST(Workload, LongStringsAreCountedWithoutBeingCopied) {
  std::string prompt;
  for (int i = 0; i < 500'000; ++i) prompt += "w\\u00f6 ";
  std::string payload = R"({"a": ")" + prompt + R"(", "b": ")" + prompt + R"("})";
  EXPECT_EQ(milli("chars(payload.a)", payload), 1'500'000'000);
  EXPECT_EQ(milli("words(payload.a)", payload), 500'000'000);
  EXPECT_EQ(milli("#payload.a", payload), 2'000'000'000);
  EXPECT_EQ(milli("payload.a == payload.b and 1 or 0", payload), 1'000);
  EXPECT_EQ(milli("payload.a == 'w' and 1 or 0", payload), 0);
  EXPECT_EQ(milli("num(payload.a.x, 2)", payload), 2'000);
  // On both sides of the length from which strings stay views.
  for (std::size_t size : {200U, 253U, 254U, 255U, 256U, 257U, 5000U}) {
    std::string text = R"({"a": ")" + std::string(size, 'x') + R"("})";
    EXPECT_EQ(milli("chars(payload.a)", text), static_cast<std::int64_t>(size) * 1000);
    EXPECT_EQ(milli("#payload.a", text), static_cast<std::int64_t>(size) * 1000);
  }
}

TEST(Workload, FormulasThatDoNotCompileAreRefused) {
  for (const char* formula :
       {"", "1 +", "payload.", "payload.a..", "return 1", "1; os.exit()", "local a = 1", "(", "a b"}) {
    auto compiled = Workload::compile(formula);
    ASSERT_FALSE(compiled) << formula;
    EXPECT_THAT(compiled.error().message, HasSubstr("cannot compile the workload")) << formula;
  }
  EXPECT_FALSE(Workload::compile(std::string("1\0+1", 4)));
}

TEST(Workload, FailuresAreErrorsThatNameTheFormulaNotThePayload) {
  std::string error = evaluation_error("payload.inputs + 1");
  EXPECT_THAT(error, HasSubstr("cannot evaluate the workload \"payload.inputs + 1\""));
  EXPECT_EQ(error.find("moon"), std::string::npos);
  EXPECT_THAT(evaluation_error("payload.inputs .. 'x'"), HasSubstr("its value is string"));
  EXPECT_THAT(evaluation_error("payload.parameters"), HasSubstr("no error"));
  EXPECT_THAT(evaluation_error("payload.missing + 1"),
              HasSubstr("attempt to perform arithmetic on a nil value"));
  EXPECT_THAT(evaluation_error("(payload.parameters)"), HasSubstr("its value is"));
}

TEST(Workload, NothingOutsideCanBeReached) {
  for (const char* name : {"io",
                           "os",
                           "load",
                           "loadstring",
                           "loadfile",
                           "dofile",
                           "require",
                           "package",
                           "debug",
                           "coroutine",
                           "pcall",
                           "xpcall",
                           "error",
                           "rawget",
                           "rawset",
                           "rawequal",
                           "setmetatable",
                           "getmetatable",
                           "collectgarbage",
                           "print",
                           "select",
                           "next",
                           "pairs",
                           "_G",
                           "utf8",
                           "table",
                           "string.rep",
                           "string.format",
                           "string.find",
                           "string.gsub",
                           "string.dump",
                           "math.random",
                           "('x').rep",
                           "payload.inputs.rep"})
    EXPECT_EQ(milli(std::string("(") + name + " == nil) and 1 or 0"), 1'000) << name;
}

TEST(Workload, BudgetsEndEndlessFormulas) {
  EXPECT_THAT(evaluation_error("(function() while true do end end)()"), HasSubstr("it takes too many steps"));
  EXPECT_THAT(evaluation_error("(function() local function f() return f() end return f() end)()"),
              HasSubstr("it takes too many steps"));
  EXPECT_THAT(evaluation_error("(function() local function f() return 1 + f() end return f() end)()"),
              HasSubstr("cannot evaluate"));
  EXPECT_THAT(evaluation_error("(function() local s = 'x' while true do s = s .. s end end)()"),
              HasSubstr("not enough memory"));
  EXPECT_THAT(evaluation_error("(function() local t = {} for i = 1, 1e9 do t[i] = {i} end end)()"),
              HasSubstr("cannot evaluate"));
  std::string payload = R"({"a": ")" + std::string(1'000'000, 'x') + R"("})";
  EXPECT_THAT(
      evaluation_error("(function() local n = 0 while true do n = n + chars(payload.a) end end)()", payload),
      HasSubstr("it reads the payload too often"));
}

TEST(Workload, AFailureLeavesTheEvaluatorUsable) {
  WorkloadEvaluator evaluator(
      Workload::compile("payload.n > 1 and (function() local s = 'x' while true do s = s .. s "
                        "end end)() or payload.n")
          .value());
  for (int round = 0; round < 50; ++round) {
    EXPECT_FALSE(evaluator.milli_units(R"({"n": 2})"));
    EXPECT_EQ(evaluator.milli_units(R"({"n": 1})").value(), 1000);
  }
}

TEST(Workload, OneRequestLeavesNothingToTheNext) {
  EXPECT_THAT(evaluation_error("(function() seen = 1 return 1 end)()"),
              HasSubstr("may not assign to a global"));
  EXPECT_THAT(evaluation_error("(function() math.max = 1 return 1 end)()"), HasSubstr("may not assign"));
  EXPECT_THAT(evaluation_error("(function() payload.n = 1 return 1 end)()"), HasSubstr("cannot evaluate"));

  WorkloadEvaluator evaluator(Workload::compile("payload.n + 0").value());
  for (int i = 0; i < 10'000; ++i) {
    std::string payload = R"({"n":)" + std::to_string(i) + "}";
    ASSERT_EQ(evaluator.milli_units(payload).value(), i * 1000);
  }
}

TEST(Workload, AnEvaluatorMayBeMoved) {
  WorkloadEvaluator first(Workload::compile("payload.n * 2").value());
  WorkloadEvaluator second = std::move(first);
  EXPECT_EQ(second.milli_units(R"({"n": 4})").value(), 8000);
}

}  // namespace
}  // namespace cppworker
