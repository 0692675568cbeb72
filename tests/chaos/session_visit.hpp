// A client that opens a session, asks inside it, and ends it.
#pragma once

#include <functional>

#include "load.hpp"

namespace cppworker::chaos {

// `note` hears of each request. Returns early when the session can't be had; an end that got lost is asked
// for again, since sessions that stay would keep later visits out. Blocks. Any thread.
void visit(World& world, const std::function<void(const Result&)>& note);

}  // namespace cppworker::chaos
