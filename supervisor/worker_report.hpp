// What the worker as a whole says about itself, out of what its parts know: to the proxy, the autoscaler and
// the operator.
//
// Threads: the supervisor's loop.
#pragma once

#include <string>

#include "common/worker_state.hpp"
#include "supervisor/worker_parts.hpp"

namespace cppworker {

// How it ends, as far as the reports have to say it.
struct Ending {
  bool stopping = false;
  std::string last_words;  // why, where nobody asked for it
};

ModelPhase phase_of(const WorkerParts& parts, const Ending& ending);
// What is wrong, in one line; empty: nothing.
std::string error_message(const WorkerParts& parts, const Ending& ending);
// For the proxy.
WorkerState state_of(const WorkerParts& parts, const Ending& ending);
// For the autoscaler; only with a container_id.
WorkerFacts facts_of(const WorkerParts& parts, const Ending& ending);

}  // namespace cppworker
