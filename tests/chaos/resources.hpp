// What the worker's two programs hold, before the faults and after them.
#pragma once

#include <string>
#include <vector>

#include "world.hpp"

namespace cppworker::chaos {

struct Holding {
  std::size_t descriptors = 0, resident_kib = 0;
};

struct Resources {
  Holding supervisor, proxy;
  std::size_t processes = 0;  // of the whole tree
};

// The worker must have no load.
Resources look_at(World& world);

// What has grown, in sentences; waits for what is being closed. `after` is filled in.
std::vector<std::string> check_growth(World& world, const Resources& before, Resources& after);

}  // namespace cppworker::chaos
