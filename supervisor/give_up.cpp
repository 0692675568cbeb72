#include "supervisor/give_up.hpp"

#include <algorithm>

namespace cppworker {
namespace {

bool counts(const GiveUpRule& rule, const Failure& failure, TimePoint now) {
  return rule.concerns(failure.cause) && now - failure.at <= rule.window;
}

}  // namespace

bool GiveUpRule::concerns(FailureCause cause) const {
  return causes.empty() || std::find(causes.begin(), causes.end(), cause) != causes.end();
}

void remember(std::vector<Failure>& failures, Failure failure, const GiveUpRules& rules) {
  failures.push_back(failure);
  // A rule counts up to its number, which no failure before the newest so many of its causes changes.
  std::vector<int> counted(rules.size(), 0);
  std::vector<Failure> kept;
  for (auto one = failures.rbegin(); one != failures.rend(); ++one) {
    bool wanted = false;
    for (std::size_t i = 0; i < rules.size(); ++i)
      if (counts(rules[i], *one, failure.at) && counted[i] < rules[i].failures) {
        ++counted[i];
        wanted = true;
      }
    if (wanted) kept.push_back(*one);
  }
  failures.assign(kept.rbegin(), kept.rend());
}

const GiveUpRule* broken_rule(const std::vector<Failure>& failures, TimePoint now, const GiveUpRules& rules) {
  for (const GiveUpRule& rule : rules) {
    const auto count = std::count_if(failures.begin(), failures.end(),
                                     [&](const Failure& failure) { return counts(rule, failure, now); });
    if (count >= rule.failures) return &rule;
  }
  return nullptr;
}

std::string text_of(const GiveUpRule& rule) {
  const auto seconds = std::chrono::duration_cast<std::chrono::seconds>(rule.window).count();
  std::string window = std::to_string(seconds) + " s";
  if (seconds % 3600 == 0)
    window = std::to_string(seconds / 3600) + " h";
  else if (seconds % 60 == 0)
    window = std::to_string(seconds / 60) + " min";
  return std::to_string(rule.failures) + (rule.failures == 1 ? " failure" : " failures") + " within " +
         window;
}

}  // namespace cppworker
