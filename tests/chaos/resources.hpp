// What the worker's two programs hold, before the faults and after them.
#pragma once

#include <functional>
#include <string>
#include <vector>

#include "world.hpp"

namespace cppworker::chaos {

struct Holding {
  pid_t pid = -1;
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

// The same under load, between the faults: a leak must not hide behind the end of the process that has it.
class GrowthWatch {
 public:
  explicit GrowthWatch(World& world) : world_(world) {}
  // Before each fault. What runs since the last look is measured from here on.
  void look();
  const std::vector<std::string>& found() const { return found_; }

 private:
  struct Allowance {
    std::size_t descriptors, kib;
  };
  void compare(const char* who, Holding& base, const Allowance& more, const std::function<pid_t()>& pid_of);

  World& world_;
  Holding supervisor_, proxy_;
  std::vector<std::string> found_;
};

}  // namespace cppworker::chaos
