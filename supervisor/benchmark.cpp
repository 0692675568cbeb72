#include "supervisor/benchmark.hpp"

#include <cmath>
#include <vector>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/deferred.hpp>
#include <boost/asio/experimental/parallel_group.hpp>
#include <nlohmann/json.hpp>

#include "common/http_client.hpp"
#include "common/logging.hpp"
#include "common/text.hpp"
#include "launchers/failure_detector.hpp"

namespace cppworker {
namespace {

// Images come as base64 in JSON: ten of 4 MiB in one answer.
constexpr std::size_t kLargestAnswer = 64 << 20;
// The file has two members.
constexpr std::size_t kLargestFile = 64 << 10;
// A server's error text may echo the prompt, which is ours here, but it needn't fill the log either.
constexpr std::size_t kQuotedError = 200;

// What became of one request: its work, or why it has none.
struct Outcome {
  double work = 0;
  std::string problem;
};

// A server that fails fast behind a 200 would else look many times as fast as it is.
std::optional<std::string> failure_inside(const HttpResponse& response, const BenchmarkPlan& plan) {
  if (response.body.empty()) return "status 200 without a body";
  FailureDetector failures(plan.failure_lines);
  failures.see(response.body);
  if (!failures.found()) return std::nullopt;
  return "a failure inside a 200: " + printable(trim(response.body), kQuotedError);
}

Awaitable<Outcome> run_request(const BenchmarkPlan& plan) {
  HttpRequest request;
  request.method = "POST";
  request.server = plan.server;
  request.target = plan.path;
  request.content_type = plan.content_type;
  request.body = plan.make_body();
  Outcome outcome;
  const double work = plan.work_of(request.body);
  Result<HttpResponse> response =
      co_await http_exchange(std::move(request), plan.request_limit, kLargestAnswer);
  if (!response) {
    outcome.problem = response.error().message;
  } else if (!response->ok()) {
    outcome.problem =
        "status " + std::to_string(response->status) + ": " + printable(trim(response->body), kQuotedError);
  } else if (auto failure = failure_inside(*response, plan)) {
    outcome.problem = *failure;
  } else {
    outcome.work = work;
  }
  co_return outcome;
}

// All at once; ends with the last of them. Each has its own limit, so there is none here.
Awaitable<std::vector<Outcome>> run_together(const BenchmarkPlan& plan) {
  const auto executor = co_await asio::this_coro::executor;
  auto start_one = [&] { return asio::co_spawn(executor, run_request(plan), asio::deferred); };
  std::vector<decltype(start_one())> requests;
  for (int i = 0; i < plan.concurrency; ++i) requests.push_back(start_one());
  auto group = asio::experimental::make_parallel_group(std::move(requests));
  auto [order, exceptions, outcomes] =
      co_await group.async_wait(asio::experimental::wait_for_all(), asio::use_awaitable);
  co_return std::move(outcomes);
}

}  // namespace

Awaitable<Result<BenchmarkResult>> run_benchmark(BenchmarkPlan plan) {
  // Kernels are compiled and caches filled by the first request: its time says nothing, nor does its failure.
  Outcome warm_up = co_await run_request(plan);
  std::string problem = std::move(warm_up.problem);

  BenchmarkResult result;
  for (int run = 0; run < plan.runs; ++run) {
    const auto start = std::chrono::steady_clock::now();
    const std::vector<Outcome> outcomes = co_await run_together(plan);
    const std::chrono::duration<double> took = std::chrono::steady_clock::now() - start;
    double work = 0;
    for (const Outcome& outcome : outcomes) {
      ++(outcome.problem.empty() ? result.succeeded : result.failed);
      work += outcome.work;
      if (!outcome.problem.empty()) problem = outcome.problem;
    }
    if (took.count() > 0) result.max_perf = std::max(result.max_perf, work / took.count());
  }

  const std::string what = "cannot measure " + plan.server.text() + plan.path + ": ";
  if (result.succeeded == 0)
    co_return fail(what + "not one of " + std::to_string(result.failed) + " requests succeeded: " + problem);
  if (!(result.max_perf > 0) || !std::isfinite(result.max_perf))
    co_return fail(what + "the requests come to no work; see the endpoint's workload expression");
  co_return result;
}

std::optional<double> load_benchmark(const std::string& path, std::string_view fingerprint) {
  const auto text = read_file(path, kLargestFile);
  if (!text) return std::nullopt;
  const auto json = nlohmann::json::parse(*text, nullptr, false);
  if (!json.is_object()) return std::nullopt;
  const auto mark = json.find("fingerprint");
  const auto figure = json.find("max_perf");
  if (mark == json.end() || figure == json.end() || !mark->is_string() || !figure->is_number())
    return std::nullopt;
  const double max_perf = figure->get<double>();
  if (mark->get_ref<const std::string&>() != fingerprint || !(max_perf > 0) || !std::isfinite(max_perf))
    return std::nullopt;
  return max_perf;
}

bool store_benchmark(const std::string& path, std::string_view fingerprint, double max_perf) {
  const nlohmann::json json = {{"fingerprint", fingerprint}, {"max_perf", max_perf}};
  // A fingerprint holds command lines, which needn't be UTF-8.
  return replace_file(path, json.dump(2, ' ', false, nlohmann::json::error_handler_t::replace) + "\n");
}

}  // namespace cppworker
