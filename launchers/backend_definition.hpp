// What the folder of a backend says about it: launchers/<name>/backend.json, read and checked whole. The
// published format is launchers/schema/backend.schema.json.
//
// All that can be refused is refused here, with file, JSON pointer and what was expected: patterns and
// formulas are compiled, the launch script is looked at. The result is plain data, shared freely between
// threads.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "common/result.hpp"
#include "common/url.hpp"
#include "launchers/backend_search.hpp"
#include "launchers/watch_definition.hpp"
#include "launchers/workload.hpp"

namespace cppworker {

struct EndpointDefinition {
  enum class Auth { kSignature, kNone };

  std::string method;  // upper case
  std::string path;    // as clients send it, without a query
  Auth auth = Auth::kSignature;
  Workload workload = Workload::constant(0);
  std::optional<std::int64_t> max_body_bytes;               // else the proxy's own limit
  std::optional<int> max_json_depth;                        // the same
  std::optional<std::chrono::milliseconds> max_queue_time;  // else no limit
  std::optional<int> max_concurrency;  // requests at once to this endpoint alone, which then has a queue of
                                       // its own; else it shares the backend's
  bool websocket = false;              // GET with an upgrade to WebSocket
  std::optional<Url> server;           // of a WebSocket: where it is served, when not at the backend's server
  // A line of a response with a 2xx status, or a message of a WebSocket, that begins with one of these says
  // that the request failed.
  std::vector<std::string> failure_lines;
};

struct BenchmarkDefinition {
  std::string endpoint;  // path of one of the POST endpoints
  int runs = 3;
  int concurrency = 10;
  nlohmann::json payload;  // for PayloadTemplate
};

// One step of a stop: this signal, and so long to end. SIGKILL follows the last.
struct StopStepDefinition {
  enum class To { kLeader, kGroup, kTree };
  int signal = 15;  // SIGTERM
  std::chrono::seconds wait{90};
  To to = To::kLeader;
};

// Enough is enough: so many failures within the window.
struct GiveUpDefinition {
  std::vector<std::string> causes;  // of restart_causes(); empty: any
  int failures = 0;
  std::chrono::seconds window{0};
};

struct RestartDefinition {
  // Between launches after failures: the first wait, doubled with each in a row up to the longest.
  std::chrono::seconds first_wait{1};
  std::chrono::seconds longest_wait{60};
  std::optional<std::vector<GiveUpDefinition>> give_up;  // absent: the supervisor's own rules; empty: never
};

// What a rule may name: spawn, start_deadline, benchmark, health, fatal_log, exit.
const std::vector<std::string>& restart_causes();

// A program of the folder that is run at a certain time.
struct HookDefinition {
  std::string command;  // absolute path; an executable file inside the folder
  std::chrono::seconds timeout{60};
};

struct HooksDefinition {
  std::optional<HookDefinition> pre_start, post_ready, pre_stop, post_exit;
};

struct BackendDefinition {
  std::string name;
  std::string description;    // may be empty
  std::string folder;         // absolute
  nlohmann::json document;    // backend.json as it was read: to see what another reading changes
  Url server;                 // http on loopback
  int max_concurrency = 0;    // requests at once, the others wait in the proxy; 0: unlimited
  std::string launch_script;  // absolute path; an executable file inside the folder
  // Names of the variables on which the speed depends, '*' at the end for any rest; empty: nearly all of them
  // (supervisor/benchmark_key.hpp).
  std::vector<std::string> launch_variables;
  // Those that look like credentials and that it gets all the same (supervisor/environment.hpp), as above.
  std::vector<std::string> launch_secrets;
  std::vector<StopStepDefinition> stop_steps{StopStepDefinition{}};
  // Instead of a step's wait after a failure, as long as nobody is served. A healthy server that is told to
  // end while idle takes a second or two, with its shards; a dead engine would take all of the wait.
  std::chrono::seconds failed_stop_wait{10};
  // From SIGKILL on. A driver's own reset takes a minute at the most; what hangs for longer needs another
  // machine.
  std::chrono::seconds unkillable_after{120};
  RestartDefinition restart;
  HooksDefinition hooks;
  LogDefinition log;
  std::optional<HealthDefinition> health;  // at least one of health and log.ready is there
  StartupDefinition startup;
  std::vector<EndpointDefinition> endpoints;
  std::optional<BenchmarkDefinition> benchmark;

  // nullptr when there is none.
  const EndpointDefinition* find_endpoint(std::string_view method, std::string_view path) const;
};

// Puts the backend's server elsewhere. What endpoints have beside it moves along: the ports keep their
// distance, as the launch script counts them from the one that it is given.
void move_server(BackendDefinition& backend, const Url& server);

// Reads <folder>/backend.json.
Result<BackendDefinition> load_backend(const std::string& folder);

// What the proxy goes by, out of a whole backend.json: the server and the endpoints.
nlohmann::json part_for_proxy(const nlohmann::json& document);
// Reads that part; `origin` is the file for messages. All else in the result is as it is by default, and
// nothing of the backend's folder is looked at.
Result<BackendDefinition> read_part_for_proxy(const nlohmann::json& part, const std::string& origin);

}  // namespace cppworker
