// What faults.cpp puts into its list, by where it happens. Each does its fault and waits for the worker to be
// well again.
#pragma once

#include <string>

#include "faults.hpp"

namespace cppworker::chaos {

inline Verdict failed(std::string text) {
  return {Verdict::kFailed, std::move(text)};
}

// process_faults.cpp
Verdict kill_model(World& world);
Verdict kill_proxy(World& world);
Verdict kill_grandchild(World& world);
Verdict stop_model(World& world);
Verdict stop_proxy(World& world);
Verdict hang_model(World& world);
Verdict answer_500(World& world);
Verdict answer_nothing_but_500(World& world);
Verdict break_off_bodies(World& world);
Verdict reload_definition(World& world);
Verdict kill_supervisor(World& world);

// surrounding_faults.cpp
Verdict fill_disk(World& world);
Verdict autoscaler_answers_500(World& world);
Verdict autoscaler_hangs_up(World& world);
Verdict autoscaler_falls_silent(World& world);
Verdict autoscaler_refuses(World& world);
Verdict rotate_certificate(World& world);
Verdict rotate_key(World& world);

}  // namespace cppworker::chaos
