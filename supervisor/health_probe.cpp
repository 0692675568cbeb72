#include "supervisor/health_probe.hpp"

#include <nlohmann/json.hpp>

#include "common/http_client.hpp"
#include "common/logging.hpp"

namespace cppworker {
namespace {

// Health bodies are a few bytes to a few KiB; one that is larger shows a server that isn't the one meant.
constexpr std::size_t kLargestBody = 1 << 20;

std::string objection(const HealthProbe& probe, const HttpResponse& response) {
  if (response.status != probe.expected_status)
    return "status " + std::to_string(response.status) + " instead of " +
           std::to_string(probe.expected_status);
  if (probe.expect_json && !nlohmann::json::accept(response.body))
    return "the body is not JSON (" +
           (response.content_type.empty() ? "no content type" : printable(response.content_type, 80)) + ")";
  return {};
}

std::chrono::milliseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

}  // namespace

Awaitable<HealthAnswer> probe_health(HealthProbe probe) {
  const auto start = std::chrono::steady_clock::now();
  HttpRequest request;
  request.server = probe.server;
  request.target = probe.path;
  Result<HttpResponse> response = co_await http_exchange(std::move(request), probe.timeout, kLargestBody);
  HealthAnswer answer;
  answer.took = since(start);
  answer.reason = response ? objection(probe, *response) : response.error().message;
  answer.health = answer.reason.empty() ? Health::kHealthy : Health::kUnhealthy;
  co_return answer;
}

Awaitable<std::optional<std::chrono::milliseconds>> wait_for_health(HealthProbe probe,
                                                                    std::chrono::milliseconds interval,
                                                                    std::chrono::milliseconds limit) {
  const auto start = std::chrono::steady_clock::now();
  while (true) {
    const auto left = limit - since(start);
    if (left <= std::chrono::milliseconds(0)) co_return std::nullopt;
    HealthProbe one = probe;
    one.timeout = std::min(probe.timeout, left);
    const HealthAnswer answer = co_await probe_health(std::move(one));
    if (answer.ok()) co_return since(start);
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    if (cancelled.cancelled() != asio::cancellation_type::none) co_return std::nullopt;
    co_await sleep_for(std::min(interval, std::max(limit - since(start), std::chrono::milliseconds(0))));
  }
}

}  // namespace cppworker
