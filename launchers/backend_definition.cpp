#include "launchers/backend_definition.hpp"

#include <signal.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <utility>

#include "common/json_reader.hpp"
#include "launchers/definition_reader.hpp"
#include "launchers/payload_template.hpp"

namespace cppworker {
namespace {

namespace fs = std::filesystem;

// How long an operator waits for a stop before he pulls the plug.
constexpr std::int64_t kLongestStop_s = 3600;
constexpr std::size_t kMostStopSteps = 8;
constexpr std::int64_t kLongestWait_s = 24 * 3600;
constexpr std::int64_t kLongestWindow_s = 7 * 24 * 3600;
constexpr std::size_t kMostGiveUpRules = 8;
constexpr std::int64_t kLongestHook_s = 3600;
constexpr std::int64_t kMostFailures = 1000;
constexpr double kLongestQueueTime_s = 3600;
// As many requests as the ledger has places for (ledger_layout::kSlots).
constexpr std::int64_t kMostConcurrency = 4096;
// Looked for at each line of a response: a few, and short.
constexpr std::size_t kMostFailureLines = 8;
constexpr std::size_t kLongestFailureLine = 64;
constexpr std::int64_t kLargestBody = std::int64_t{1} << 30;
constexpr std::int64_t kMostBenchmarkRuns = 100;
constexpr std::int64_t kMostBenchmarkConcurrency = 1000;
constexpr double kMostWorkload = 1e9;  // Workload::kMostMilliUnits, in units

// The worker's own routes on the public port (protocol sections 5 and 6): they would never reach the server.
void refuse_reserved(const ConfigValue& value, const std::string& path) {
  if (path == "/ping" || path.starts_with("/session/") || path.starts_with("/pyworker/"))
    value.refuse("must not be /ping or begin with /session/ or /pyworker/: the worker answers those itself");
}

Url read_server(const ConfigValue& value) {
  auto url = parse_url(value.as_string());
  if (!url) value.refuse(url.error().message);
  // Anything else would forward unsigned requests to another machine, or let others go past the proxy.
  if (!url->on_loopback() || url->tls) value.refuse("must be http on loopback, as http://127.0.0.1:5001");
  if (!url->path.empty()) value.refuse("must be a URL without a path");
  return *url;
}

// "parallel": false is how one at a time is said; "max_concurrency": N any other number.
int read_concurrency(ConfigObject& server) {
  bool parallel = server.boolean("parallel", true);
  auto most = server.optional("max_concurrency");
  if (most && !parallel) most->refuse("must not stand beside \"parallel\": false, which means 1");
  if (most) return static_cast<int>(most->as_integer(1, kMostConcurrency));
  return parallel ? 0 : 1;
}

int read_signal(const ConfigValue& value) {
  static const std::vector<std::pair<std::string, int>> kSignals = {
      {"SIGTERM", SIGTERM}, {"SIGINT", SIGINT},   {"SIGQUIT", SIGQUIT}, {"SIGHUP", SIGHUP},
      {"SIGUSR1", SIGUSR1}, {"SIGUSR2", SIGUSR2}, {"SIGABRT", SIGABRT}, {"SIGKILL", SIGKILL}};
  std::vector<std::string> names;
  for (const auto& [name, number] : kSignals) names.push_back(name);
  std::string chosen = value.as_choice(names);
  return std::find_if(kSignals.begin(), kSignals.end(),
                      [&](const auto& entry) { return entry.first == chosen; })
      ->second;
}

std::vector<StopStepDefinition> read_stop_steps(const ConfigValue& list) {
  using To = StopStepDefinition::To;
  static const std::vector<std::pair<std::string, To>> kTargets = {
      {"leader", To::kLeader}, {"group", To::kGroup}, {"tree", To::kTree}};
  std::vector<StopStepDefinition> steps;
  for (const ConfigValue& item : list.as_list()) {
    ConfigObject object(item);
    StopStepDefinition step;
    step.signal = read_signal(object.required("signal"));
    step.wait = std::chrono::seconds(object.required("wait_s").as_integer(0, kLongestStop_s));
    if_there(object, "to", [&](const ConfigValue& value) {
      const std::string chosen = value.as_choice({"leader", "group", "tree"});
      for (const auto& [name, target] : kTargets)
        if (name == chosen) step.to = target;
    });
    object.finish();
    steps.push_back(step);
  }
  if (steps.size() > kMostStopSteps) list.refuse("must have 8 steps at most");
  return steps;
}

void read_stop(ConfigObject& launch, BackendDefinition& backend) {
  const auto steps = launch.optional("stop");
  const auto signal = launch.optional("stop_signal");
  const auto timeout = launch.optional("stop_timeout_s");
  if (steps && (signal || timeout))
    steps->refuse("must not stand beside stop_signal and stop_timeout_s, which are a stop of one step");
  if (steps) backend.stop_steps = read_stop_steps(*steps);
  if (signal) backend.stop_steps.front().signal = read_signal(*signal);
  backend.failed_stop_wait = std::chrono::seconds(
      launch.integer("failed_stop_wait_s", backend.failed_stop_wait.count(), 1, kLongestStop_s));
  if (timeout) backend.stop_steps.front().wait = std::chrono::seconds(timeout->as_integer(1, kLongestStop_s));
  backend.unkillable_after = std::chrono::seconds(
      launch.integer("unkillable_after_s", backend.unkillable_after.count(), 1, kLongestStop_s));
}

RestartDefinition read_restart(ConfigObject restart) {
  RestartDefinition definition;
  auto seconds = [&](const char* key, std::chrono::seconds otherwise) {
    return std::chrono::seconds(restart.integer(key, otherwise.count(), 1, kLongestWait_s));
  };
  definition.first_wait = seconds("first_wait_s", definition.first_wait);
  definition.longest_wait = seconds("longest_wait_s", definition.longest_wait);
  if_there(restart, "give_up", [&](const ConfigValue& list) {
    definition.give_up.emplace();
    for (const ConfigValue& item : list.as_list()) {
      ConfigObject object(item);
      GiveUpDefinition rule;
      if_there(object, "causes", [&](const ConfigValue& causes) {
        for (const ConfigValue& cause : causes.as_list())
          rule.causes.push_back(cause.as_choice(restart_causes()));
      });
      rule.failures = static_cast<int>(object.required("failures").as_integer(1, kMostFailures));
      rule.window = std::chrono::seconds(object.required("window_s").as_integer(1, kLongestWindow_s));
      object.finish();
      definition.give_up->push_back(std::move(rule));
    }
    if (definition.give_up->size() > kMostGiveUpRules) list.refuse("must have 8 rules at most");
  });
  restart.finish();
  return definition;
}

std::vector<std::string> read_variables(const ConfigValue& list) {
  auto usable = [](std::string_view name) {
    if (name.ends_with('*')) name.remove_suffix(1);
    return !name.empty() &&
           std::all_of(name.begin(), name.end(), [](unsigned char c) { return std::isalnum(c) || c == '_'; });
  };
  std::vector<std::string> names;
  for (const ConfigValue& item : list.as_list()) {
    names.push_back(item.as_string());
    if (!usable(names.back())) item.refuse("must be a variable's name, or its beginning and '*'");
  }
  return names;
}

HooksDefinition read_hooks(ConfigObject hooks, const fs::path& folder) {
  HooksDefinition definition;
  auto read = [&](const char* name, std::optional<HookDefinition>& into) {
    if_there(hooks, name, [&](const ConfigValue& value) {
      ConfigObject object(value);
      into.emplace();
      into->command = read_script(object.required("command"), folder);
      into->timeout =
          std::chrono::seconds(object.integer("timeout_s", into->timeout.count(), 1, kLongestHook_s));
      object.finish();
    });
  };
  read("pre_start", definition.pre_start);
  read("post_ready", definition.post_ready);
  read("pre_stop", definition.pre_stop);
  read("post_exit", definition.post_exit);
  hooks.finish();
  return definition;
}

Workload read_workload(const ConfigValue& value) {
  if (value.json().is_number()) return Workload::constant(value.as_number(0, kMostWorkload));
  if (!value.json().is_string()) value.refuse("must be a number, a path (payload.…) or an expression");
  auto workload = Workload::compile(value.as_string());
  if (!workload) value.refuse(workload.error().message);
  return *std::move(workload);
}

std::vector<std::string> read_failure_lines(const ConfigValue& list) {
  std::vector<std::string> lines;
  for (const ConfigValue& item : list.as_list()) {
    lines.push_back(item.as_string());
    if (lines.back().size() > kLongestFailureLine || lines.back().find('\n') != std::string::npos)
      item.refuse("must be the beginning of one line, of at most 64 bytes");
  }
  if (lines.size() > kMostFailureLines) list.refuse("must have 8 entries at most");
  return lines;
}

EndpointDefinition read_endpoint(ConfigObject endpoint) {
  EndpointDefinition definition;
  definition.method =
      endpoint.required("method").as_choice({"GET", "POST", "PUT", "PATCH", "DELETE", "HEAD", "OPTIONS"});
  ConfigValue path = endpoint.required("path");
  definition.path = read_path(path, false);
  refuse_reserved(path, definition.path);
  if_there(endpoint, "auth", [&](const ConfigValue& auth) {
    bool open = auth.as_choice({"signature", "none"}) == "none";
    definition.auth = open ? EndpointDefinition::Auth::kNone : EndpointDefinition::Auth::kSignature;
  });
  definition.workload = read_workload(endpoint.required("workload"));
  if_there(endpoint, "max_body_bytes",
           [&](const ConfigValue& value) { definition.max_body_bytes = value.as_integer(1, kLargestBody); });
  if_there(endpoint, "max_json_depth", [&](const ConfigValue& value) {
    definition.max_json_depth = static_cast<int>(value.as_integer(kLeastJsonDepth, kDeepestJson));
  });
  if_there(endpoint, "max_queue_time_s", [&](const ConfigValue& value) {
    definition.max_queue_time =
        std::chrono::milliseconds(static_cast<std::int64_t>(value.as_number(0, kLongestQueueTime_s) * 1000));
  });
  if_there(endpoint, "max_concurrency", [&](const ConfigValue& value) {
    definition.max_concurrency = static_cast<int>(value.as_integer(1, kMostConcurrency));
  });
  if_there(endpoint, "websocket", [&](const ConfigValue& value) {
    definition.websocket = value.as_bool();
    if (definition.websocket && definition.method != "GET")
      value.refuse("must be false, unless the method is GET: that is how WebSocket connections begin");
  });
  if_there(endpoint, "server", [&](const ConfigValue& value) {
    if (!definition.websocket) value.refuse("must stand beside \"websocket\": true alone");
    definition.server = read_server(value);
  });
  if_there(endpoint, "failure_lines",
           [&](const ConfigValue& value) { definition.failure_lines = read_failure_lines(value); });
  endpoint.finish();
  return definition;
}

void read_endpoints(const ConfigValue& list, BackendDefinition& backend) {
  for (const ConfigValue& item : list.as_list()) {
    EndpointDefinition endpoint = read_endpoint(ConfigObject(item));
    if (backend.find_endpoint(endpoint.method, endpoint.path) != nullptr)
      item.refuse("must not repeat the endpoint " + endpoint.method + " " + endpoint.path);
    backend.endpoints.push_back(std::move(endpoint));
  }
  if (backend.endpoints.empty()) list.refuse("must have an endpoint at least");
}

BenchmarkDefinition read_benchmark(ConfigObject benchmark, const BackendDefinition& backend) {
  BenchmarkDefinition definition;
  ConfigValue endpoint = benchmark.required("endpoint");
  definition.endpoint = endpoint.as_string();
  if (backend.find_endpoint("POST", definition.endpoint) == nullptr)
    endpoint.refuse("must be the path of a POST endpoint of this backend");
  definition.runs = static_cast<int>(benchmark.integer("runs", definition.runs, 1, kMostBenchmarkRuns));
  definition.concurrency = static_cast<int>(
      benchmark.integer("concurrency", definition.concurrency, 1, kMostBenchmarkConcurrency));
  ConfigValue payload = benchmark.required("payload");
  if (!payload.json().is_object()) payload.refuse("must be an object");
  if (auto compiled = PayloadTemplate::compile(payload.json(), 0); !compiled)
    payload.refuse(compiled.error().message);
  definition.payload = payload.json();
  benchmark.finish();
  return definition;
}

void read_server_object(ConfigObject server, BackendDefinition& backend) {
  backend.server = read_server(server.required("url"));
  backend.max_concurrency = read_concurrency(server);
  server.finish();
}

BackendDefinition read_backend(const fs::path& folder) {
  const std::string file = (folder / "backend.json").string();
  const nlohmann::json json = load_config(file);
  ConfigObject root(ConfigValue(json, file, ""));
  BackendDefinition backend;
  backend.folder = folder.string();
  backend.document = json;

  ConfigValue name = root.required("name");
  backend.name = name.as_string();
  check_name(name, backend.name);
  if (backend.name != folder.filename()) name.refuse("must be the name of its folder");
  backend.description = root.string("description", "");

  read_server_object(ConfigObject(root.required("server")), backend);
  ConfigObject launch(root.required("launch"));
  backend.launch_script = read_script(launch.required("script"), folder);
  if_there(launch, "variables",
           [&](const ConfigValue& value) { backend.launch_variables = read_variables(value); });
  if_there(launch, "secrets",
           [&](const ConfigValue& value) { backend.launch_secrets = read_variables(value); });
  read_stop(launch, backend);
  launch.finish();
  if_there(root, "restart",
           [&](const ConfigValue& value) { backend.restart = read_restart(ConfigObject(value)); });

  if_there(root, "hooks",
           [&](const ConfigValue& value) { backend.hooks = read_hooks(ConfigObject(value), folder); });
  if_there(root, "log", [&](const ConfigValue& value) { backend.log = read_log(ConfigObject(value)); });
  if_there(root, "startup",
           [&](const ConfigValue& value) { backend.startup = read_startup(ConfigObject(value)); });
  read_endpoints(root.required("endpoints"), backend);
  if_there(root, "health", [&](const ConfigValue& value) {
    backend.health = read_health(ConfigObject(value), folder, [&](const std::string& path) {
      return backend.find_endpoint("POST", path) != nullptr;
    });
  });
  if (backend.log.ready.empty() && !backend.health)
    throw ConfigError(file, "/", "needs /log/ready or /health: nothing else tells when the server is ready");
  if_there(root, "benchmark", [&](const ConfigValue& value) {
    backend.benchmark = read_benchmark(ConfigObject(value), backend);
  });
  // An editor finds the schema by it; it says nothing to us.
  if_there(root, "$schema", [](const ConfigValue& value) { value.as_string(); });
  root.finish();
  return backend;
}

}  // namespace

const EndpointDefinition* BackendDefinition::find_endpoint(std::string_view method,
                                                           std::string_view path) const {
  for (const EndpointDefinition& endpoint : endpoints)
    if (endpoint.path == path && endpoint.method == method) return &endpoint;
  return nullptr;
}

const std::vector<std::string>& restart_causes() {
  static const std::vector<std::string> kCauses = {"spawn",     "start_deadline", "benchmark", "health",
                                                   "fatal_log", "no_progress",    "exit"};
  return kCauses;
}

void move_server(BackendDefinition& backend, const Url& server) {
  const int distance = server.port - backend.server.port;
  for (EndpointDefinition& endpoint : backend.endpoints) {
    if (!endpoint.server) continue;
    if (endpoint.server->host == backend.server.host) endpoint.server->host = server.host;
    endpoint.server->port = static_cast<std::uint16_t>(endpoint.server->port + distance);
  }
  backend.server = server;
}

Result<BackendDefinition> load_backend(const std::string& folder) {
  std::error_code ec;
  fs::path canonical = fs::canonical(folder, ec);
  if (ec) return fail("cannot load the backend in " + folder + ": " + ec.message());
  try {
    return read_backend(canonical);
  } catch (const ConfigError& error) {
    return fail(error.what());
  }
}

nlohmann::json part_for_proxy(const nlohmann::json& document) {
  nlohmann::json part = nlohmann::json::object();
  for (const char* name : {"server", "endpoints"})
    if (const auto found = document.find(name); found != document.end()) part[name] = *found;
  return part;
}

Result<BackendDefinition> read_part_for_proxy(const nlohmann::json& part, const std::string& origin) {
  try {
    ConfigObject root(ConfigValue(part, origin, ""));
    BackendDefinition backend;
    read_server_object(ConfigObject(root.required("server")), backend);
    read_endpoints(root.required("endpoints"), backend);
    root.finish();
    return backend;
  } catch (const ConfigError& error) {
    return fail(error.what());
  }
}

}  // namespace cppworker
