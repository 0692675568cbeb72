#include "world.hpp"

#include <csignal>
#include <filesystem>
#include <sstream>

#include "common/text.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;

constexpr char kLaunch[] =
    "#!/bin/sh\nexec text-generation-launcher --port \"$SERVER_PORT\" --hostname 127.0.0.1 --json-output\n";
constexpr char kWorkload[] = "num(payload.parameters.max_new_tokens, 100) + chars(payload.inputs) / 4";
constexpr char kNeverPrinted[] = "\x01";

// Streams at once, fewer than there are clients of them: some wait for their turn.
constexpr int kStreams = 2;

// The definition of tgi with shorter times: a run meets a dozen failures in a minute. They are still long
// enough for a busy machine, on which a well server must not look ill.
json definition(bool with_info) {
  json endpoints = {{{"method", "POST"}, {"path", "/generate"}, {"workload", kWorkload}},
                    {{"method", "POST"},
                     {"path", "/generate_stream"},
                     {"workload", kWorkload},
                     {"max_concurrency", kStreams},
                     {"failure_lines", {"data: {\"error\""}}}};
  if (with_info)
    endpoints.push_back({{"method", "GET"}, {"path", "/info"}, {"auth", "none"}, {"workload", 0}});
  return {
      {"launch", {{"script", "launch.sh"}, {"stop_timeout_s", 1}}},
      {"log", {{"ready", {"\"message\":\"Connected\""}}}},
      {"health", {{"path", "/health"}, {"interval_s", 1}, {"timeout_s", 3}, {"failures", 2}, {"stall_s", 3}}},
      {"restart", {{"give_up", {{{"failures", 1000}, {"window_s", 60}}}}}},
      {"endpoints", endpoints}};
}

std::string url_of(const Line& line) {
  return "http://127.0.0.1:" + std::to_string(line.port());
}

}  // namespace

World::World()
    : line(autoscaler.port()),
      backend(kLaunch, definition(false)),
      worker(autoscaler, backend.name(),
             {{"USE_SSL", "true"}, {"STAND_IN_SHARDS", "2"}, {"REPORT_ADDR", url_of(line)}},
             {{"backend_dirs", backend.settings().at("backend_dirs")},
              {"port", std::uint16_t{port_}},
              {"session_port", std::uint16_t{session_port_}},
              {"admin_port", std::uint16_t{admin_port_}},
              {"public_url", kUrl},
              {"tls",
               {{"certificate", "instance.crt"},
                {"key", "instance.key"},
                {"sign_url", autoscaler.url() + "/sign_cert"}}}}) {
  read_log();
}

World::~World() {
  reader_.request_stop();
  worker.process().signal(SIGKILL);  // the end of its output ends the reader; nothing after stop()
}

void World::read_log() {
  reader_ = std::jthread([this](std::stop_token stop) {
    while (!stop.stop_requested()) worker.process().wait_for_line(kNeverPrinted);
  });
}

json World::status() {
  json seen = worker.status();
  return seen.is_object() ? seen : json();
}

pid_t World::pid_of(const std::string& service) {
  const json seen = status();
  return seen.is_null() ? -1 : seen[service]["pid"].get<pid_t>();
}

int World::launches(const std::string& service) {
  const json seen = status();
  return seen.is_null() ? 0 : seen[service]["launches"].get<int>();
}

json World::server_state() {
  return testing::get(worker.server_port(), "/stand_in/requests?path=/none").json();
}

void World::reload(bool with_info) {
  backend.write(definition(with_info));
  worker.process().signal(SIGHUP);
}

void World::replace_supervisor() {
  reader_.request_stop();
  worker.process().signal(SIGKILL);
  reader_.join();
  worker.process().wait_for_exit();
  log_ += worker.process().output();
  worker.start_again();
  ++supervisors_;
  read_log();
}

int World::stop() {
  reader_.request_stop();
  worker.process().signal(SIGTERM);
  reader_.join();
  return worker.process().wait_for_exit().value_or(-1);
}

std::size_t descriptors_of(pid_t pid) {
  std::error_code gone;
  std::size_t count = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", gone)) {
    (void)entry;
    ++count;
  }
  return count;
}

std::size_t resident_kib(pid_t pid) {
  std::istringstream status(read_file("/proc/" + std::to_string(pid) + "/status", 1 << 16).value_or(""));
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("VmRSS:")) return std::strtoul(line.c_str() + 6, nullptr, 10);
  return 0;
}

}  // namespace cppworker::chaos
