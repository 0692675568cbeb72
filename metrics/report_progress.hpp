// What the autoscaler has acknowledged beside the loads, which the ledger keeps: the load time, the disk's
// growth, and the last report itself, against which "something changed" is decided.
//
// Pure; belongs to one LoadReporter. A fact is consumed when a report that held it got through, never when it
// was sent: a lost report loses nothing.
#pragma once

#include <cstdint>
#include <optional>
#include <nlohmann/json.hpp>

#include "metrics/load_report.hpp"

namespace cppworker {

class ReportProgress {
 public:
  // The facts as the next report has to tell them: loadtime only until one report with it got through, and
  // the disk's growth since the last one that did.
  WorkerFacts prepare(WorkerFacts facts) const;

  // Whether the report says anything that the autoscaler doesn't know. The disk's growth alone doesn't count:
  // it changes with every line that somebody logs.
  bool says_something_new(const nlohmann::json& report) const;

  // The report made of these prepared facts got through.
  void acknowledged(const WorkerFacts& prepared, nlohmann::json report);

 private:
  std::uint64_t told_load_ = 0;
  std::optional<double> told_disk_gib_;
  nlohmann::json told_;
};

}  // namespace cppworker
