// The worker under test with its surroundings: `cppworker run` serving TLS, the stand-in of TGI with two
// shards, the stand-in of the autoscaler behind a line that can fail.
#pragma once

#include <chrono>
#include <utility>

#include "held_port.hpp"
#include "line.hpp"
#include "outcome.hpp"
#include "tests/integration/worker_harness.hpp"

namespace cppworker::chaos {

inline const std::string kUrl = "https://203.0.113.9:41234";

// Only ends a run that would hang: beyond the longest backoff between two launches, and a load.
inline constexpr std::chrono::seconds kRecoveryPatience{150};

template <class Predicate>
bool eventually(Predicate reached) {
  return testing::eventually(std::move(reached), kRecoveryPatience);
}

class World {
 public:
  World();
  ~World();

  // The public one; the same for all supervisors. Any thread.
  std::uint16_t port() const { return port_; }

  // Null while the supervisor doesn't answer.
  nlohmann::json status();
  bool ready() { return testing::get(worker.admin_port(), "/readyz").status == 200; }
  pid_t pid_of(const std::string& service);  // "model", "proxy"; -1: there is none
  int launches(const std::string& service);
  nlohmann::json server_state();  // of the stand-in, with its shards

  // Has the worker serve GET /info, or no more: reads the backend's definition anew.
  void reload(bool with_info);
  // SIGKILL, and another on the same run directory.
  void replace_supervisor();
  int supervisors() const { return supervisors_; }

  // The worker's end, asked for by SIGTERM; its exit code, -1 when it doesn't come.
  int stop();
  // What all supervisors have logged.
  std::string log() { return log_ + worker.process().output(); }

 private:
  const HeldPort port_, session_port_, admin_port_;

 public:
  testing::Autoscaler autoscaler;
  Line line;
  testing::BackendFolder backend;
  testing::Worker worker;
  SentRequests sent;

 private:
  void read_log();

  int supervisors_ = 1;
  std::string log_;
  // The supervisor's log is read all the time: a full pipe would hold it up.
  std::jthread reader_;
};

std::size_t descriptors_of(pid_t pid);
std::size_t resident_kib(pid_t pid);

}  // namespace cppworker::chaos
