#include "supervisor/health_ladder.hpp"

#include <algorithm>
#include <utility>
#include <spdlog/fmt/fmt.h>

namespace cppworker {
namespace {

std::string in_a_row(const std::string& reason, int failures) {
  return failures > 1 ? fmt::format("{} ({} in a row)", reason, failures) : reason;
}

}  // namespace

HealthLadder::HealthLadder(LadderPolicy policy) : policy_(std::move(policy)), rows_(policy_.probes.size()) {}

void HealthLadder::ready(const Pulse& pulse, TimePoint now) {
  armed_ = true;
  rows_.assign(rows_.size(), Row{});
  canary_ = {};
  fatal_pattern_.clear();
  pulse_ = pulse;
  errors_before_ = pulse.upstream_failures;
  silence_ = {};
  sampled_at_ = good_at_ = canary_at_ = now;
}

void HealthLadder::sampled(const Pulse& pulse, TimePoint now) {
  const bool good = pulse.served != pulse_.served || pulse.upstream_bytes != pulse_.upstream_bytes;
  const bool was_erring = erring();
  silence_ = good ? TimePoint::duration() : silence(now);
  pulse_ = pulse;
  sampled_at_ = now;
  if (good) {
    errors_before_ = pulse.upstream_failures;
    good_at_ = now;
    canary_ = {};
    for (Row& row : rows_) row.failures = 0, row.unready = false;
  }
  if (erring() && !was_erring) erring_at_ = now;
}

void HealthLadder::probed(std::size_t probe, bool good, std::string_view reason, TimePoint now) {
  Row& row = rows_.at(probe);
  const ProbeDefinition& definition = policy_.probes[probe];
  if (good) {
    if (++row.successes >= definition.successes) row.unready = false;
    // One that is well and unwell by turns gets no request in, whose bytes would show anything.
    if (!row.unready) row.failures = 0;
    return;
  }
  row.successes = 0;
  row.reason = reason;
  if (busy(now)) return;
  if (++row.failures >= definition.unready_failures) row.unready = true;
}

void HealthLadder::canary_answered(bool good, std::string_view reason, TimePoint now) {
  canary_at_ = now;
  if (!good) {
    ++canary_.failures;
    canary_.reason = reason;
    return;
  }
  canary_ = {};
  errors_before_ = pulse_.upstream_failures;
  silence_ = {};
  sampled_at_ = now;
  fatal_pattern_.clear();
}

void HealthLadder::saw_fatal_line(std::string_view pattern, TimePoint now) {
  if (fatal_line_stands(now)) return;  // its window isn't prolonged by repeating it
  fatal_pattern_ = pattern;
  fatal_at_ = now;
  // What was bad before the line bears nothing out.
  for (Row& row : rows_) row.failures = 0;
  canary_ = {};
}

std::string HealthLadder::suspicion(TimePoint now) const {
  if (erring()) return fmt::format("{} answers in a row were its own errors", errors());
  if (fatal_line_stands(now)) return "its log matches \"" + fatal_pattern_ + "\"";
  if (stalled(now))
    return fmt::format("{} requests at the server and not a byte for {} s", pulse_.at_server,
                       std::chrono::duration_cast<std::chrono::seconds>(silence(now)).count());
  return {};
}

bool HealthLadder::wants_canary(TimePoint now) const {
  if (!armed_ || !policy_.has_canary) return false;
  if (policy_.serial && pulse_.at_server > 0) return false;
  const bool doubtful = !suspicion(now).empty() || canary_.failures > 0;
  if (doubtful) {
    // The first doubt is looked into at once.
    const bool fresh_line = fatal_line_stands(now) && canary_at_ <= fatal_at_;
    const bool fresh_row = erring() && canary_.failures == 0;
    return fresh_line || fresh_row || now - canary_at_ >= kCanaryRetry;
  }
  return pulse_.at_server == 0 && now - std::max(good_at_, canary_at_) >= policy_.canary_interval;
}

bool HealthLadder::restarts(const Row& row, std::size_t probe) const {
  return row.failures >= policy_.probes[probe].failures;
}

Judgement HealthLadder::judge(TimePoint now) const {
  if (!armed_) return {};
  const std::string suspected = suspicion(now);
  const std::string because = suspected.empty() ? "" : suspected + "; ";
  const bool line = fatal_line_stands(now);

  if (canary_.failures > 0) {
    const int allowed = policy_.probes.empty() ? 1 : policy_.probes.front().failures;
    const bool erring = errors() >= (line ? kErrorsWithFatalLine : policy_.errors_in_a_row);
    // Without a suspicion it is as good a probe as another, and may be lost as one.
    if (erring || (!busy(now) && (!suspected.empty() || canary_.failures >= allowed)))
      return {Standing::kRestart, line, because + "canary: " + in_a_row(canary_.reason, canary_.failures)};
  }
  // It has no turn beside a request, and requests may come without end.
  const bool kept_free = policy_.has_canary && policy_.serial && erring();
  if (kept_free && pulse_.at_server > 0 && now - erring_at_ >= policy_.stall)
    return {Standing::kRestart, false, suspected + "; the canary got no turn"};
  if (!policy_.has_canary) {
    if (erring()) return {Standing::kRestart, false, suspected};
    if (line && errors() >= kErrorsWithFatalLine)
      return {Standing::kRestart, true, fmt::format("{}; {} errors in a row", suspected, errors())};
  }
  for (std::size_t i = 0; i < rows_.size(); ++i) {
    const Row& row = rows_[i];
    if (restarts(row, i) || (line && row.failures >= policy_.probes[i].unready_failures))
      return {Standing::kRestart, line, because + in_a_row(row.reason, row.failures)};
  }
  if (kept_free) return {Standing::kUnready, false, suspected + "; it is kept free for the canary"};
  for (const Row& row : rows_)
    if (row.unready) return {Standing::kUnready, false, because + in_a_row(row.reason, row.failures)};
  return {};
}

}  // namespace cppworker
