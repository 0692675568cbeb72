// How a backend's server is watched, by its definition: what its log lines mean, how it is asked for health,
// how long it may load. Read and checked by read_log and its like; what is done with it is supervisor/'s.
#pragma once

#include <array>
#include <chrono>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <nlohmann/json.hpp>

#include "common/json_reader.hpp"

namespace cppworker {

// What a server that isn't ready yet is at, by its log.
enum class LoadPhase { kLaunch, kDownload, kLoad, kWarmUp };
inline constexpr std::array kLoadPhases = {LoadPhase::kLaunch, LoadPhase::kDownload, LoadPhase::kLoad,
                                           LoadPhase::kWarmUp};
std::string_view name_of(LoadPhase phase);  // "download"; in definitions, pages and metrics

struct LogDefinition {
  struct Capture {
    std::string metric;
    std::string regex;  // its first group is the number
  };
  struct Phase {
    LoadPhase phase;
    std::string regex;
  };
  // RE2 syntax, unanchored, against one line without terminal colours.
  std::vector<std::string> ready;
  std::vector<std::string> fatal;  // while it loads: afterwards a prompt may be echoed in the log
  // Afterwards, too, where a failing probe or failing answers bear it out. Each begins with '^'.
  std::vector<std::string> fatal_after_ready;
  std::vector<std::string> info;
  std::vector<Phase> phases;
  std::vector<Capture> captures;
  std::string file;  // absolute path of a log that the server writes itself; empty: it has none
};

// One way of asking whether the server is well.
struct ProbeDefinition {
  enum class Kind { kHttp, kTcp, kCommand, kLogSilence, kLogPattern };
  Kind kind = Kind::kHttp;
  std::string path;                  // kHttp: GET on it …
  int status = 200;                  // … must answer so,
  bool expect_json = false;          // with a body that is JSON,
  std::string body;                  // in which this RE2 pattern is found; empty: any
  std::vector<std::string> command;  // kCommand: must end with 0; the first is an absolute path
  std::string log;                   // kLogPattern: RE2, begins with '^'; such a line must come
  std::chrono::seconds silence{0};   // kLogSilence, kLogPattern: none for so long is a bad answer

  std::chrono::seconds interval{10};
  // Longer than a busy server's worst pause between two scheduling rounds.
  std::chrono::seconds timeout{5};
  int failures = 3;          // bad answers in a row, before it is restarted
  int unready_failures = 2;  // bad answers in a row, before nothing new is let in; no more than the former
  int successes = 1;         // good answers in a row, for it to be (again) ready
};

// A real request, small, to a server from which nothing else is heard.
struct CanaryDefinition {
  std::string endpoint;    // path of one of the POST endpoints
  nlohmann::json payload;  // for PayloadTemplate
  std::chrono::seconds interval{60};
  std::chrono::seconds timeout{30};
};

struct HealthDefinition {
  ProbeDefinition main;                 // decides, with the log, about the first ready
  std::vector<ProbeDefinition> others;  // from then on
  // Requests in flight and not a byte of any of their answers for so long: then a failing probe counts. A
  // request that isn't streamed is silent up to its end, so this is longer than one may take.
  std::chrono::seconds stall{120};
  // Answers in a row that are the server's own failure; then the canary decides, or without one the restart
  // follows: after a sticky CUDA error nothing else comes any more.
  int errors_in_a_row = 10;
  std::optional<CanaryDefinition> canary;
};

struct StartupDefinition {
  std::chrono::seconds deadline{3600};  // from the launch to ready
  // In which nothing moved: no new log line, no disk, no network, no CPU.
  std::chrono::seconds no_progress{600};
};

using IsPostEndpoint = std::function<bool(const std::string& path)>;

// These throw ConfigError.
LogDefinition read_log(ConfigObject log);
HealthDefinition read_health(ConfigObject health, const std::filesystem::path& folder,
                             const IsPostEndpoint& is_post_endpoint);
StartupDefinition read_startup(ConfigObject startup);

}  // namespace cppworker
