// When restarting has no point any more: so many failures of some causes within a rolling window.
//
// Pure. service_state.hpp records each failure, and gives up when a rule says so; the worker then reports why
// and exits, so that the instance is replaced instead of billed for a model that never runs.
#pragma once

#include <chrono>
#include <string>
#include <vector>

namespace cppworker {

enum class FailureCause;
using TimePoint = std::chrono::steady_clock::time_point;

struct Failure {
  FailureCause cause;
  TimePoint at;
};

struct GiveUpRule {
  std::vector<FailureCause> causes;  // any of these; empty: any at all
  int failures = 10;
  std::chrono::milliseconds window{std::chrono::hours(12)};

  bool concerns(FailureCause cause) const;
};
using GiveUpRules = std::vector<GiveUpRule>;  // empty: never

// Adds the failure, and drops those that no rule will ever count again: what is kept is bounded by the rules.
void remember(std::vector<Failure>& failures, Failure failure, const GiveUpRules& rules);

// The first rule that says "enough"; nullptr: try again.
const GiveUpRule* broken_rule(const std::vector<Failure>& failures, TimePoint now, const GiveUpRules& rules);

// "10 failures within 12 h", for messages.
std::string text_of(const GiveUpRule& rule);

}  // namespace cppworker
