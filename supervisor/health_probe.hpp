// Asks an inference server over HTTP whether it is well, and decides when a row of bad answers means
// something.
//
// The gate is armed by its owner after the first ready: a server that loads answers badly, or not at all, for
// as long as it takes, and that is no failure (startup has a deadline of its own).
#pragma once

#include <chrono>
#include <optional>
#include <string>

#include "common/async.hpp"
#include "common/url.hpp"

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
};

enum class Health { kHealthy, kUnhealthy };

struct HealthAnswer {
  Health health = Health::kUnhealthy;
  std::string reason{};  // when unhealthy: "status 503 instead of 200"
  std::chrono::milliseconds took{0};

  bool ok() const { return health == Health::kHealthy; }
};

// One probe, bounded by its timeout. Never fails otherwise: no answer is an unhealthy answer.
Awaitable<HealthAnswer> probe_health(HealthProbe probe);

// Probes until one is healthy; returns how long that took, nullopt when `limit` passes first. The limit is
// one for servers that have said themselves that they are ready, and only have yet to open their port.
inline constexpr std::chrono::milliseconds kHealthWaitLimit = std::chrono::seconds(300);
Awaitable<std::optional<std::chrono::milliseconds>> wait_for_health(
    HealthProbe probe, std::chrono::milliseconds interval,
    std::chrono::milliseconds limit = kHealthWaitLimit);

// Counts failures in a row: a single lost probe restarts nothing.
class HealthGate {
 public:
  explicit HealthGate(int threshold) : threshold_(threshold) {}

  // True when this answer is the one that reaches the threshold, and with each further `threshold` of them:
  // if the first news had no effect, there will be a second.
  bool closes(Health health) {
    if (health == Health::kHealthy) {
      failures_ = 0;
      return false;
    }
    return ++failures_ % threshold_ == 0;
  }

  int failures() const { return failures_; }
  void reset() { failures_ = 0; }  // with each launch

 private:
  int threshold_;
  int failures_ = 0;
};

}  // namespace cppworker
