// Measures what an inference server can do: the figure max_perf, in work units per second, by which the
// autoscaler sends it load. (Section 7 of the protocol notes: warm-up, N runs of C concurrent requests, a
// run's throughput is the work of the requests that succeeded over its seconds, the best run counts.)
//
// The requests go straight to the server, past the proxy: they are nobody's load. Each is timed to the last
// byte of its body.
#pragma once

#include <chrono>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/async.hpp"
#include "common/result.hpp"
#include "common/url.hpp"

namespace cppworker {

struct BenchmarkPlan {
  Url server;
  std::string path;
  std::string content_type = "application/json";
  int runs = 3;
  int concurrency = 10;
  // For one request; the whole is bounded by (1 + runs) times this.
  std::chrono::milliseconds request_limit{std::chrono::minutes(2)};
  // A body per request: with another prompt each time, so that no cache answers. Called on the awaiting
  // thread.
  std::function<std::string()> make_body;
  // How a line begins that tells of a failure inside a 200 (of the endpoint).
  std::vector<std::string> failure_lines;
  // Work units of a request with this body.
  std::function<double(std::string_view body)> work_of;
};

struct BenchmarkResult {
  double max_perf = 0;  // work units per second, above 0
  int succeeded = 0;    // of runs * concurrency; the warm-up isn't counted
  int failed = 0;
};

// "cannot measure …: not one of 30 requests succeeded: status 500 …" when there is no figure.
Awaitable<Result<BenchmarkResult>> run_benchmark(BenchmarkPlan plan);

// The remembered figure of an earlier start, if it belongs to `fingerprint` (whatever the caller takes to
// decide the speed: backend, command line, model, GPUs). A damaged file is as good as none.
std::optional<double> load_benchmark(const std::string& path, std::string_view fingerprint);

// False with errno when that fails; the only loss is another measurement at the next start.
bool store_benchmark(const std::string& path, std::string_view fingerprint, double max_perf);

}  // namespace cppworker
