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

// As a client finds it: ready only as long as there is a proxy, too.
ModelPhase phase_of(const WorkerParts& parts, const Ending& ending);
// What is wrong, in one line; empty: nothing.
std::string error_message(const WorkerParts& parts, const Ending& ending);
// For the proxy: the model's phase, as the next proxy is to let requests in from its first moment on.
WorkerState state_of(const WorkerParts& parts, const Ending& ending);
// For the autoscaler; only with a container_id.
WorkerFacts facts_of(const WorkerParts& parts, const Ending& ending);

}  // namespace cppworker
