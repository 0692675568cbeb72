// The faults: each is done to the worker under load, and waits for the worker to be well again.
#pragma once

#include <string>
#include <vector>

#include "load.hpp"

namespace cppworker::chaos {

// What the clients of the load may see from the moment of the fault to the recovery. Anything else, and
// anything but kServed outside of a fault, fails the run.
struct Tolerance {
  bool refused = false, cut = false, lost = false;
};

struct Verdict {
  enum Kind { kRecovered, kSkipped, kFailed } kind = kRecovered;
  std::string text;  // why it was skipped or failed; what was seen
};

struct Fault {
  std::string name;
  Tolerance tolerated;
  Verdict (*run)(World&);
};

// All, in an order of no meaning but that of the last two (kLast). Another key takes a minute from the
// supervisor's start to be noticed, since that asks for it once a minute at most; and all that the other
// faults have left in the supervisor is looked at before it is killed.
const std::vector<Fault>& all_faults();
inline constexpr std::ptrdiff_t kLast = 2;

// Ready, by the supervisor's word and by a served request.
bool well(World& world);

}  // namespace cppworker::chaos
