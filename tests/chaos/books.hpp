// Whether the worker's books balance, and the autoscaler's with them, to the unit.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "world.hpp"

namespace cppworker::chaos {

// What doesn't add up, in sentences; empty: all does. Waits for the last report. The load must be over, and
// the worker must still run.
std::vector<std::string> check_books(World& world);

// In thousandths of a work unit: whole numbers don't round.
struct Books {
  std::int64_t received = 0, served = 0, errored = 0, cancelled = 0, rejected = 0, in_flight = 0;
};
Books books_of(const nlohmann::json& status);

// What the autoscaler has heard in all.
struct Heard {
  std::int64_t new_load = 0, rejected = 0, served = 0;
};
Heard sum_of(const nlohmann::json& reports);

}  // namespace cppworker::chaos
