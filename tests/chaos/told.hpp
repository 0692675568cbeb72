// Whether the autoscaler was told of each request's end: once, as what it was, and of no other (protocol
// section 4).
#pragma once

#include <string>
#include <vector>

#include "report.hpp"

namespace cppworker::chaos {

// What it was told wrongly, in sentences; waits for what it has yet to be told. The load must be over, and
// the worker must still run.
std::vector<std::string> check_told(World& world, const std::vector<Happening>& happenings);

}  // namespace cppworker::chaos
