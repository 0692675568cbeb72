#include "metrics/report_progress.hpp"

#include <array>
#include <string_view>

namespace cppworker {
namespace {

// Differences since the last report: news whenever they aren't zero.
constexpr std::array<std::string_view, 4> kDifferences = {"new_load", "rej_load", "cur_perf", "loadtime"};
constexpr std::string_view kDisk = "additional_disk_usage";

}  // namespace

WorkerFacts ReportProgress::prepare(WorkerFacts facts) const {
  if (facts.load_number == told_load_) facts.loadtime.reset();
  if (facts.disk_used_gib && told_disk_gib_)
    facts.additional_disk_usage_gib = *facts.disk_used_gib - *told_disk_gib_;
  return facts;
}

bool ReportProgress::says_something_new(const nlohmann::json& report) const {
  if (told_.is_null()) return true;
  for (std::string_view difference : kDifferences)
    if (report.at(difference) != 0) return true;
  for (const auto& [name, value] : report.items()) {
    if (name == kDisk) continue;
    bool is_difference = std::find(kDifferences.begin(), kDifferences.end(), name) != kDifferences.end();
    if (!is_difference && told_.at(name) != value) return true;
  }
  return false;
}

void ReportProgress::acknowledged(const WorkerFacts& prepared, nlohmann::json report) {
  if (prepared.loadtime) told_load_ = prepared.load_number;
  if (prepared.disk_used_gib) told_disk_gib_ = prepared.disk_used_gib;
  told_ = std::move(report);
}

}  // namespace cppworker
