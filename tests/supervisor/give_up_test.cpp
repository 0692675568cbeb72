#include "supervisor/give_up.hpp"

#include <gtest/gtest.h>

#include <algorithm>

#include "launchers/backend_definition.hpp"
#include "supervisor/service_state.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Cause = FailureCause;

constexpr TimePoint kStart = TimePoint() + 1000h;

TEST(GiveUp, CountsByCauseWithinTheWindow) {
  const GiveUpRules rules = {{.causes = {}, .failures = 4, .window = 10min},
                             {.causes = {Cause::kUnhealthy, Cause::kExited}, .failures = 2, .window = 1min}};
  struct Case {
    const char* what;
    std::vector<Failure> failures;
    int broken;  // index of the rule; -1: none
  };
  const std::vector<Case> cases = {
      {"none", {}, -1},
      {"one", {{Cause::kExited, kStart}}, -1},
      {"two of the causes", {{Cause::kExited, kStart - 30s}, {Cause::kUnhealthy, kStart}}, 1},
      {"two of another cause", {{Cause::kSpawnFailed, kStart - 30s}, {Cause::kSpawnFailed, kStart}}, -1},
      {"the first just outside", {{Cause::kExited, kStart - 61s}, {Cause::kExited, kStart}}, -1},
      {"the first just inside", {{Cause::kExited, kStart - 60s}, {Cause::kExited, kStart}}, 1},
      {"many of any cause",
       {{Cause::kSpawnFailed, kStart - 9min},
        {Cause::kFatalLog, kStart - 8min},
        {Cause::kExited, kStart - 7min},
        {Cause::kStartDeadline, kStart}},
       0},
      {"many, too long ago",
       {{Cause::kSpawnFailed, kStart - 11min},
        {Cause::kFatalLog, kStart - 8min},
        {Cause::kExited, kStart - 7min},
        {Cause::kStartDeadline, kStart}},
       -1},
  };
  for (const Case& one : cases) {
    const GiveUpRule* broken = broken_rule(one.failures, kStart, rules);
    EXPECT_EQ(broken, one.broken < 0 ? nullptr : &rules[static_cast<std::size_t>(one.broken)]) << one.what;
  }
}

TEST(GiveUp, KeepsNoMoreThanTheRulesCount) {
  const GiveUpRules rules = {{.causes = {}, .failures = 3, .window = 1h},
                             {.causes = {Cause::kStartDeadline}, .failures = 2, .window = 24h}};
  std::vector<Failure> failures;
  for (int i = 0; i < 10'000; ++i)
    remember(failures, {i % 2 == 0 ? Cause::kExited : Cause::kStartDeadline, kStart + i * 1s}, rules);
  EXPECT_LE(failures.size(), 5u);
  EXPECT_EQ(failures.back().at, kStart + 9999s);
  EXPECT_TRUE(std::is_sorted(failures.begin(), failures.end(),
                             [](const Failure& a, const Failure& b) { return a.at < b.at; }));
  remember(failures, {Cause::kExited, kStart + 20h}, rules);
  EXPECT_EQ(failures.size(), 3u) << "the deadlines of the last 24 h, and the new one";
}

TEST(GiveUp, SaysItsRule) {
  EXPECT_EQ(text_of({.causes = {}, .failures = 10, .window = 12h}), "10 failures within 12 h");
  EXPECT_EQ(text_of({.causes = {}, .failures = 1, .window = 10min}), "1 failure within 10 min");
  EXPECT_EQ(text_of({.causes = {}, .failures = 2, .window = 90s}), "2 failures within 90 s");
}

// Else a rule of a backend would silently count nothing, or everything.
TEST(GiveUp, KnowsEachCauseThatABackendMayName) {
  for (const FailureCause cause : kFailureCauses)
    EXPECT_EQ(std::count(restart_causes().begin(), restart_causes().end(), key_of(cause)), 1)
        << key_of(cause);
  EXPECT_EQ(restart_causes().size(), kFailureCauses.size());
}

}  // namespace
}  // namespace cppworker
