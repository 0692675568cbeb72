#include "launchers/watch_definition.hpp"

#include <algorithm>

#include "launchers/definition_reader.hpp"
#include "launchers/payload_template.hpp"

namespace cppworker {
namespace {

// A model of hundreds of gigabytes is downloaded on the first start: a day is still a plan, more is a typing
// error.
constexpr std::int64_t kLongestStartup_s = 24 * 3600;
constexpr std::int64_t kLongestProbe_s = 3600;
constexpr std::int64_t kMostFailures = 1000;

// Of lines that mean something while requests are served: a prompt that is echoed stands inside a line, as a
// rule.
std::string read_anchored_regex(const ConfigValue& value) {
  std::string regex = read_regex(value);
  if (!regex.starts_with('^')) value.refuse("must begin with '^'");
  return regex;
}

void read_patterns(ConfigObject& log, const std::string& key, std::vector<std::string>& patterns) {
  if_there(log, key, [&](const ConfigValue& list) {
    for (const ConfigValue& item : list.as_list()) patterns.push_back(read_regex(item));
  });
}

void read_captures(const ConfigValue& list, LogDefinition& definition) {
  for (const ConfigValue& item : list.as_list()) {
    ConfigObject capture(item);
    ConfigValue metric = capture.required("metric");
    std::string name = metric.as_string();
    check_name(metric, name);
    definition.captures.push_back({std::move(name), read_regex(capture.required("regex"), 1)});
    capture.finish();
  }
}

void read_phases(ConfigObject phases, LogDefinition& definition) {
  for (LoadPhase phase : kLoadPhases) {
    if (phase == LoadPhase::kLaunch) continue;  // what it is before the first line
    std::vector<std::string> patterns;
    read_patterns(phases, std::string(name_of(phase)), patterns);
    for (std::string& pattern : patterns) definition.phases.push_back({phase, std::move(pattern)});
  }
  phases.finish();
}

std::chrono::seconds read_seconds(ConfigObject& object, const std::string& key,
                                  std::chrono::seconds otherwise) {
  return std::chrono::seconds(object.integer(key, otherwise.count(), 1, kLongestProbe_s));
}

int read_count(ConfigObject& object, const std::string& key, int otherwise) {
  return static_cast<int>(object.integer(key, otherwise, 1, kMostFailures));
}

std::vector<std::string> read_command(const ConfigValue& value, const std::filesystem::path& folder) {
  std::vector<std::string> command = value.as_strings();
  if (command.empty()) value.refuse("must have a program");
  command.front() = read_script(value.as_list().front(), folder);
  return command;
}

// What all kinds have, and what is particular to one; finish() is the caller's.
ProbeDefinition read_probe(ConfigObject& object, const std::filesystem::path& folder, bool is_main) {
  ProbeDefinition probe;
  auto path = object.optional("path"), tcp = object.optional("tcp"), command = object.optional("command");
  auto silence = is_main ? std::nullopt : object.optional("log_silence_s");
  auto log = is_main ? std::nullopt : object.optional("log");
  if (path.has_value() + tcp.has_value() + command.has_value() + silence.has_value() + log.has_value() != 1)
    object.value().refuse(is_main ? "must have exactly one of path, tcp and command"
                                  : "must have exactly one of path, tcp, command, log and log_silence_s");
  if (path) {
    probe.path = read_path(*path, true);
    probe.status = static_cast<int>(object.integer("status", probe.status, 200, 599));
    probe.expect_json = object.boolean("expect_json", probe.expect_json);
    if_there(object, "body", [&](const ConfigValue& value) { probe.body = read_regex(value); });
  } else if (tcp) {
    probe.kind = ProbeDefinition::Kind::kTcp;
    if (!tcp->as_bool()) tcp->refuse("must be true, or left out");
  } else if (command) {
    probe.kind = ProbeDefinition::Kind::kCommand;
    probe.command = read_command(*command, folder);
  } else if (log) {
    probe.kind = ProbeDefinition::Kind::kLogPattern;
    probe.log = read_anchored_regex(*log);
    probe.silence = std::chrono::seconds(object.required("within_s").as_integer(1, kLongestStartup_s));
  } else {
    probe.kind = ProbeDefinition::Kind::kLogSilence;
    probe.silence = std::chrono::seconds(silence->as_integer(1, kLongestStartup_s));
  }
  probe.interval = read_seconds(object, "interval_s", probe.interval);
  probe.timeout = read_seconds(object, "timeout_s", probe.timeout);
  probe.failures = read_count(object, "failures", probe.failures);
  probe.unready_failures =
      read_count(object, "unready_failures", std::min(probe.unready_failures, probe.failures));
  probe.successes = read_count(object, "successes", probe.successes);
  return probe;
}

CanaryDefinition read_canary(ConfigObject canary, const IsPostEndpoint& is_post_endpoint) {
  CanaryDefinition definition;
  ConfigValue endpoint = canary.required("endpoint");
  definition.endpoint = endpoint.as_string();
  if (!is_post_endpoint(definition.endpoint))
    endpoint.refuse("must be the path of a POST endpoint of this backend");
  ConfigValue payload = canary.required("payload");
  if (!payload.json().is_object()) payload.refuse("must be an object");
  if (auto compiled = PayloadTemplate::compile(payload.json(), 0); !compiled)
    payload.refuse(compiled.error().message);
  definition.payload = payload.json();
  definition.interval = read_seconds(canary, "interval_s", definition.interval);
  definition.timeout = read_seconds(canary, "timeout_s", definition.timeout);
  canary.finish();
  return definition;
}

}  // namespace

std::string_view name_of(LoadPhase phase) {
  switch (phase) {
    case LoadPhase::kLaunch:
      return "launch";
    case LoadPhase::kDownload:
      return "download";
    case LoadPhase::kLoad:
      return "load";
    case LoadPhase::kWarmUp:
      return "warm_up";
  }
  return "?";
}

LogDefinition read_log(ConfigObject log) {
  LogDefinition definition;
  read_patterns(log, "ready", definition.ready);
  read_patterns(log, "fatal", definition.fatal);
  read_patterns(log, "info", definition.info);
  if_there(log, "fatal_after_ready", [&](const ConfigValue& list) {
    for (const ConfigValue& item : list.as_list())
      definition.fatal_after_ready.push_back(read_anchored_regex(item));
  });
  if_there(log, "phases", [&](const ConfigValue& value) { read_phases(ConfigObject(value), definition); });
  if_there(log, "capture", [&](const ConfigValue& list) { read_captures(list, definition); });
  if_there(log, "file", [&](const ConfigValue& value) {
    definition.file = value.as_string();
    if (!definition.file.starts_with('/')) value.refuse("must be an absolute path");
  });
  log.finish();
  return definition;
}

HealthDefinition read_health(ConfigObject health, const std::filesystem::path& folder,
                             const IsPostEndpoint& is_post_endpoint) {
  HealthDefinition definition;
  definition.main = read_probe(health, folder, true);
  if_there(health, "also", [&](const ConfigValue& list) {
    for (const ConfigValue& item : list.as_list()) {
      ConfigObject probe(item);
      definition.others.push_back(read_probe(probe, folder, false));
      probe.finish();
    }
  });
  definition.stall = read_seconds(health, "stall_s", definition.stall);
  definition.errors_in_a_row = read_count(health, "errors_in_a_row", definition.errors_in_a_row);
  if_there(health, "canary", [&](const ConfigValue& value) {
    definition.canary = read_canary(ConfigObject(value), is_post_endpoint);
  });
  health.finish();
  return definition;
}

StartupDefinition read_startup(ConfigObject startup) {
  StartupDefinition definition;
  auto read = [&](const std::string& key, std::chrono::seconds otherwise) {
    return std::chrono::seconds(startup.integer(key, otherwise.count(), 1, kLongestStartup_s));
  };
  definition.deadline = read("deadline_s", definition.deadline);
  definition.no_progress = read("no_progress_s", definition.no_progress);
  startup.finish();
  return definition;
}

}  // namespace cppworker
