// SIGHUP: what reload_plan.hpp decides, done to a running worker.
//
// Threads: the supervisor's loop.
#pragma once

#include "supervisor/app.hpp"
#include "supervisor/worker_parts.hpp"

namespace cppworker {

// Reads all files anew; whatever is wrong in them changes nothing. The log says what came of it. False when a
// proxy is in the way of the new one that it needs: nothing has changed then, and it is to be called again
// when ProxyService::hindrance() is gone.
bool reload(WorkerParts& parts, const ReadSettings& read_settings);

}  // namespace cppworker
