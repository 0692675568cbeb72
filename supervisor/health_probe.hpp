// Asks a server whether it is well: over HTTP, by a connection, or by a command. What a row of bad answers
// means is health_ladder.hpp's to say.
#pragma once

#include <chrono>
#include <string>

#include "common/async.hpp"
#include "common/http_client.hpp"
#include "common/url.hpp"
#include "supervisor/command_runner.hpp"

namespace cppworker {

struct HealthProbe {
  Url server{};
  std::string path = "/health";
  // Longer than a busy server's worst pause between two scheduling rounds.
  std::chrono::milliseconds timeout{std::chrono::seconds(5)};
  int expected_status = 200;
  // The body must be JSON: where an image serves a "please wait" page of its own, with status 200, on the
  // server's port.
  bool expect_json = false;
  std::string body{};  // RE2 pattern that the body must have; empty: any body
};

enum class Health { kHealthy, kUnhealthy };

struct HealthAnswer {
  Health health = Health::kUnhealthy;
  std::string reason{};  // when unhealthy: "status 503 instead of 200"
  std::chrono::milliseconds took{0};
  bool not_started = false;  // there was no question: the command couldn't be started

  bool ok() const { return health == Health::kHealthy; }
};

// One probe each, bounded by its timeout. They never fail otherwise: no answer is an unhealthy answer.
Awaitable<HealthAnswer> probe_health(HealthProbe probe);
Awaitable<HealthAnswer> probe_port(Url server, std::chrono::milliseconds timeout);
// Healthy when it ends with 0; it is killed when the time is over. Whatever it has started is ended with it,
// in either case: a command that leaves something in the background every ten seconds would fill the machine.
// Where something of an earlier one withstands SIGKILL, it isn't run, and the answer names that. `tree_mark`
// is the one in its environment, and its own.
Awaitable<HealthAnswer> probe_by_command(CommandRunner& commands, ProcessSpec spec, std::string tree_mark,
                                         std::chrono::milliseconds timeout);
// A request that does real work; no line of its 2xx answer may begin with one of `failure_lines`.
Awaitable<HealthAnswer> probe_by_request(HttpRequest request, std::vector<std::string> failure_lines,
                                         std::chrono::milliseconds timeout);

}  // namespace cppworker
