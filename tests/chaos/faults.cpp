#include "faults.hpp"

#include "fault_kinds.hpp"

namespace cppworker::chaos {

bool well(World& world) {
  return world.ready() && ask(world, {}).outcome == Outcome::kServed;
}

const std::vector<Fault>& all_faults() {
  static const std::vector<Fault> faults = {
      {"kill -9 the model", {.cut = true}, kill_model},
      {"kill -9 the proxy", {.cut = true, .lost = true}, kill_proxy},
      {"kill -9 a grandchild", {}, kill_grandchild},
      {"SIGSTOP the model", {.cut = true}, stop_model},
      {"SIGSTOP the proxy", {.cut = true, .lost = true}, stop_proxy},
      {"the model hangs", {.cut = true}, hang_model},
      {"the model answers 500", {}, answer_500},
      {"the model answers nothing but 500", {.refused = true}, answer_nothing_but_500},
      {"the model breaks off", {}, break_off_bodies},
      {"SIGHUP, with another definition", {}, reload_definition},
      {"the log's disk is full", {}, fill_disk},
      {"the autoscaler answers 500", {}, autoscaler_answers_500},
      {"the autoscaler hangs up", {}, autoscaler_hangs_up},
      {"the autoscaler is silent", {}, autoscaler_falls_silent},
      {"the autoscaler refuses connections", {}, autoscaler_refuses},
      {"another certificate", {}, rotate_certificate},
      {"another key", {.refused = true}, rotate_key},
      {"kill -9 the supervisor", {.refused = true, .cut = true, .lost = true}, kill_supervisor}};
  return faults;
}

}  // namespace cppworker::chaos
