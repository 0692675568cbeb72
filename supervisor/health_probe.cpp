#include "supervisor/health_probe.hpp"

#include <re2/re2.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <boost/asio/ip/tcp.hpp>
#include <nlohmann/json.hpp>

#include "common/logging.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

// Health bodies are a few bytes to a few KiB; one that is larger shows a server that isn't the one meant.
constexpr std::size_t kLargestBody = 1 << 20;
// A canary asks for a token or a small image.
constexpr std::size_t kLargestAnswer = 16 << 20;
// A command's last words, for the reason.
constexpr std::size_t kKeptOutput = 300;

std::string objection(const HealthProbe& probe, const HttpResponse& response) {
  if (response.status != probe.expected_status)
    return "status " + std::to_string(response.status) + " instead of " +
           std::to_string(probe.expected_status);
  if (probe.expect_json && !nlohmann::json::accept(response.body))
    return "the body is not JSON (" +
           (response.content_type.empty() ? "no content type" : printable(response.content_type, 80)) + ")";
  if (!probe.body.empty() && !re2::RE2::PartialMatch(response.body, probe.body))
    return "the body doesn't match \"" + probe.body + "\"";
  return {};
}

std::string objection(const std::vector<std::string>& failure_lines, const HttpResponse& response) {
  if (!response.ok()) return "status " + std::to_string(response.status);
  for (const std::string& line : split_list(response.body, '\n'))
    for (const std::string& failure : failure_lines)
      if (line.starts_with(failure)) return "its answer tells of a failure";
  return {};
}

std::chrono::milliseconds since(std::chrono::steady_clock::time_point start) {
  return std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() - start);
}

HealthAnswer answer_of(std::string reason, std::chrono::steady_clock::time_point start) {
  HealthAnswer answer;
  answer.took = since(start);
  answer.reason = std::move(reason);
  answer.health = answer.reason.empty() ? Health::kHealthy : Health::kUnhealthy;
  return answer;
}

std::string out_of_time(std::chrono::milliseconds timeout) {
  return "no answer within " + std::to_string(timeout.count()) + " ms";
}

// The reason why there is no connection; empty when there is one.
Awaitable<std::string> try_connection(Url server) {
  asio::ip::tcp::resolver resolver(co_await asio::this_coro::executor);
  boost::system::error_code error;
  // A number, or localhost from /etc/hosts: nothing to wait for.
  const auto found = resolver.resolve(server.host, std::to_string(server.port), error);
  if (error) co_return "cannot look up " + server.host + ": " + error.message();
  asio::ip::tcp::socket socket(resolver.get_executor());
  for (const auto& entry : found) {
    boost::system::error_code ignored;
    socket.close(ignored);
    auto [failed] = co_await socket.async_connect(entry.endpoint(), kTuple);
    error = failed;
    if (!error) co_return std::string();
  }
  co_return "cannot connect to " + server.authority() + ": " + error.message();
}

std::string objection(const CommandEnd& end, const std::string& output, std::chrono::milliseconds timeout) {
  if (end.cancelled) return "it was cancelled";
  if (!end.status) return out_of_time(timeout);
  if (end.status->clean()) return {};
  const std::string said = printable(trim(output), kKeptOutput);
  return end.status->text() + (said.empty() ? "" : ": " + said);
}

}  // namespace

Awaitable<HealthAnswer> probe_health(HealthProbe probe) {
  const auto start = std::chrono::steady_clock::now();
  HttpRequest request;
  request.server = probe.server;
  request.target = probe.path;
  Result<HttpResponse> response = co_await http_exchange(std::move(request), probe.timeout, kLargestBody);
  co_return answer_of(response ? objection(probe, *response) : response.error().message, start);
}

Awaitable<HealthAnswer> probe_port(Url server, std::chrono::milliseconds timeout) {
  const auto start = std::chrono::steady_clock::now();
  std::optional<std::string> problem = co_await with_deadline(try_connection(std::move(server)), timeout);
  co_return answer_of(problem.value_or(out_of_time(timeout)), start);
}

Awaitable<HealthAnswer> probe_by_command(CommandRunner& commands, ProcessSpec spec, std::string tree_mark,
                                         std::chrono::milliseconds timeout) {
  const auto start = std::chrono::steady_clock::now();
  Awaitable<std::string> looking = commands.look_at_left(spec.name);
  const std::string left = co_await std::move(looking);
  if (!left.empty()) co_return answer_of("not asked: " + left + " of an earlier one can't be ended", start);
  const auto output = std::make_shared<std::string>();
  Command command;
  command.spec = std::move(spec);
  command.tree_mark = std::move(tree_mark);
  command.timeout = timeout;
  command.on_output = [output](OutputStream, std::string_view bytes) {
    *output += bytes;
    if (output->size() > kKeptOutput) output->erase(0, output->size() - kKeptOutput);
  };
  Awaitable<Result<CommandEnd>> running = commands.run(std::move(command));
  const Result<CommandEnd> end = co_await std::move(running);
  HealthAnswer answer = answer_of(end ? objection(*end, *output, timeout) : end.error().message, start);
  answer.not_started = !end;
  co_return answer;
}

Awaitable<HealthAnswer> probe_by_request(HttpRequest request, std::vector<std::string> failure_lines,
                                         std::chrono::milliseconds timeout) {
  const auto start = std::chrono::steady_clock::now();
  Result<HttpResponse> response = co_await http_exchange(std::move(request), timeout, kLargestAnswer);
  co_return answer_of(response ? objection(failure_lines, *response) : response.error().message, start);
}

}  // namespace cppworker
