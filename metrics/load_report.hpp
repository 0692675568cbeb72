// The bodies of what a worker tells the autoscaler (protocol, section 4), newest generation's fields.
//
// Pure. The loads are differences of running totals since the last report that got through:
//
//   new_load = received - rejected - cancelled    rej_load = rejected    cur_perf = served
//
// Rejected work is in rej_load alone, so that the autoscaler's books sum up: over all reports
// new_load = served + errored + in flight. A request that was reported as new and is cancelled later takes
// its load back, so new_load can be negative.
//
// The bodies hold MASTER_TOKEN: they are for sending, never for a log.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "metrics/ledger_snapshot.hpp"

namespace cppworker {

// What the report needs beside the ledger.
struct WorkerFacts {
  std::int64_t id = 0;  // CONTAINER_ID
  std::string mtoken;
  std::string version;
  std::string url;
  std::string error_msg;          // empty when well
  double max_perf = 0;            // work units per second
  std::int64_t max_capacity = 0;  // tokens in a batch, where the inference server's log tells; else 0

  std::uint64_t load_number = 0;   // how many times the model was loaded so far
  std::optional<double> loadtime;  // seconds that the last load took
  std::optional<double> disk_used_gib;

  // Filled in by ReportProgress.
  double additional_disk_usage_gib = 0;
};

nlohmann::json worker_status(const WorkerFacts& facts, const LedgerSnapshot& books);

// For /delete_requests/. Success means served or cancelled; failure, errored or rejected.
nlohmann::json delete_requests(const WorkerFacts& facts, const std::vector<std::int64_t>& request_idxs,
                               bool success);

// An integer when the value is whole, else a double: what the Python workers' readers are used to.
nlohmann::json json_number(double value);

}  // namespace cppworker
