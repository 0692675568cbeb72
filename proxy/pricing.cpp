#include "proxy/pricing.hpp"

#include <algorithm>
#include <charconv>
#include <cmath>
#include <limits>

#include "common/logging.hpp"
#include "proxy/checker.hpp"

namespace cppworker {
namespace {

std::int64_t work_of(WorkloadEvaluator& evaluator, const JsonObject& payload) {
  Result<std::int64_t> work = evaluator.milli_units(payload);
  if (work) return *work;
  // The formula is the operator's, the payload a stranger's: the request is served all the same, as no work.
  spdlog::debug("{}", work.error().message);
  return 0;
}

}  // namespace

std::optional<std::int64_t> cost_milli_units(std::string_view cost) {
  if (cost.size() >= 2 && cost.front() == '"') cost = cost.substr(1, cost.size() - 2);
  double units = 0;
  const char* end = cost.data() + cost.size();
  const auto [read_to, error] = std::from_chars(cost.data(), end, units);
  if (error != std::errc{} || read_to != end || !std::isfinite(units) || units <= 0) return std::nullopt;
  return std::llround(std::min(units * 1000, static_cast<double>(kMostWorkMilli)));
}

std::int64_t work_in_queue(std::int64_t work_milli, std::optional<std::int64_t> signed_cost) {
  static_assert(kMostWorkMilli < std::numeric_limits<std::int64_t>::max() / kMostTimesCost);
  return signed_cost ? std::min(work_milli, *signed_cost * kMostTimesCost) : work_milli;
}

bool is_priced_aside(const Request& request) {
  return request.envelope.payload_object.size() > kCheckedInPlace &&
         !request.endpoint->definition.workload.is_constant();
}

Awaitable<> price_aside(ProxyThread& thread, Request& request) {
  std::int64_t work = 0;
  const std::function<void()> compute = [&] {
    // The loop's own evaluator may be at work there meanwhile.
    auto& evaluators = thread.checker_workloads;
    evaluators.resize(std::max(evaluators.size(), request.endpoint->position + 1));
    auto& evaluator = evaluators[request.endpoint->position];
    if (!evaluator) evaluator = std::make_unique<WorkloadEvaluator>(request.endpoint->definition.workload);
    work = work_of(*evaluator, request.envelope.payload());
  };
  co_await run_on_checker(thread, compute);
  request.work_milli = work;
}

void price(ProxyThread& thread, Request& request) {
  if (!request.work_milli)
    request.work_milli = work_of(*thread.workloads[request.endpoint->position], request.envelope.payload());
  request.acceptance.work_milli = *request.work_milli;
  if (request.acceptance.once) request.signed_cost_milli = cost_milli_units(request.envelope.auth.cost);
}

}  // namespace cppworker
