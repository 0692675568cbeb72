// What a reload (SIGHUP) does with settings and a backend's definition that have changed: what applies at
// once, what a new proxy takes along, and what needs a restart of the worker.
//
// Pure. The model is never restarted by it.
#pragma once

#include <string>
#include <vector>

#include "launchers/backend_definition.hpp"
#include "supervisor/settings.hpp"

namespace cppworker {

struct ReloadPlan {
  std::vector<std::string> applied;        // names of what changes now, as in the files: "log_level"
  std::vector<std::string> needs_restart;  // of what stays as it was until the worker is started again
  bool replace_proxy = false;
  Settings settings;        // the present ones with what changes now
  nlohmann::json document;  // the present backend.json, likewise
};

ReloadPlan plan_reload(const Settings& present, const BackendDefinition& present_backend,
                       const Settings& read, const BackendDefinition& read_backend);

}  // namespace cppworker
