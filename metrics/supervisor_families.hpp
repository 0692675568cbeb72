// The supervisor's own figures as Prometheus families.
//
// Pure: the supervisor fills in what it knows. These begin anew with each supervisor, unlike the ledger's.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "metrics/exposition.hpp"
#include "metrics/system_probe.hpp"

namespace cppworker {

struct SupervisorFigures {
  std::string version;
  std::string backend;
  // One series per state, 1 for the present one, so that a query needs no list of states.
  std::vector<std::string> model_states;
  std::string model_state;
  // The same of what it is at while it loads; empty when it doesn't.
  std::vector<std::string> load_phases;
  std::string load_phase;
  std::optional<double> seconds_without_progress;  // while it loads
  bool unwell = false;                             // ready, but nothing new is let in
  bool ready = false;
  bool has_public_key = false;
  bool unsecured = false;  // no signature is asked for
  double uptime_seconds = 0;

  // By cause, such as "exit" or "health"; those that never were with 0, so that the first one is an increase.
  std::map<std::string, std::uint64_t> model_restarts;
  std::uint64_t proxy_restarts = 0;

  double max_perf = 0;                       // work units per second
  std::optional<double> load_seconds;        // of the last load
  std::optional<std::int64_t> max_capacity;  // tokens in a batch, where the server's log tells
  std::optional<double> disk_used_gib;

  struct Reports {
    std::uint64_t failed_statuses = 0, failed_deletes = 0;  // messages that didn't get through
    double lag_seconds = 0;  // since a report got through; since the start as long as none has
  };
  std::optional<Reports> reports;  // absent: a stand-alone worker

  struct Process {
    std::string name;  // "supervisor", "proxy", "model"
    ProcessUsage usage;
  };
  std::vector<Process> processes;
};

Families supervisor_families(const SupervisorFigures& figures);

}  // namespace cppworker
