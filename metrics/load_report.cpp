#include "metrics/load_report.hpp"

#include <cmath>

namespace cppworker {
namespace {

nlohmann::json work_units(std::int64_t milli) {
  if (milli % 1000 == 0) return milli / 1000;
  return static_cast<double>(milli) / 1000.0;
}

}  // namespace

nlohmann::json json_number(double value) {
  // Up to here every integer is a double, and what is larger is whole but not exact.
  constexpr double kLargestExact = 9007199254740992.0;
  if (!std::isfinite(value)) return 0;
  if (std::trunc(value) == value && std::abs(value) <= kLargestExact) return static_cast<std::int64_t>(value);
  return value;
}

nlohmann::json worker_status(const WorkerFacts& facts, const LedgerSnapshot& books) {
  const Totals& now = books.totals;
  const Acknowledged& base = books.acknowledged;
  std::int64_t received = now.received.work_milli - base.received_milli;
  std::int64_t rejected = now.rejected.work_milli - base.rejected_milli;
  std::int64_t cancelled = now.cancelled.work_milli - base.cancelled_milli;
  std::int64_t served = now.served.work_milli - base.served_milli;

  auto working = nlohmann::json::array();
  for (const InFlightRequest& request : books.in_flight)
    if (request.request_idx) working.push_back(*request.request_idx);

  return {
      {"id", facts.id},
      {"mtoken", facts.mtoken},
      {"version", facts.version},
      {"loadtime", json_number(facts.loadtime.value_or(0))},
      {"cur_load", work_units(books.in_flight_amount.work_milli)},
      {"new_load", work_units(received - rejected - cancelled)},
      {"rej_load", work_units(rejected)},
      {"max_perf", json_number(facts.max_perf)},
      {"cur_perf", work_units(served)},
      {"error_msg", facts.error_msg},
      {"num_requests_working", books.in_flight_amount.requests},
      {"num_requests_recieved", books.distinct_reqnums},
      {"working_request_idxs", std::move(working)},
      {"additional_disk_usage", json_number(facts.additional_disk_usage_gib)},
      // Where the limit is known in tokens, a request's workload is its tokens.
      {"cur_capacity", facts.max_capacity > 0 ? books.in_flight_amount.work_milli / 1000 : 0},
      {"max_capacity", facts.max_capacity},
      {"url", facts.url},
  };
}

nlohmann::json delete_requests(const WorkerFacts& facts, const std::vector<std::int64_t>& request_idxs,
                               bool success) {
  return {{"worker_id", facts.id},
          {"mtoken", facts.mtoken},
          {"request_idxs", request_idxs},
          {"success", success}};
}

}  // namespace cppworker
