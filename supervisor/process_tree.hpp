// Finds and ends every process that a launch has left anywhere: in its group, in groups and sessions of their
// own (TGI's shards, `unbuffer`), or orphaned by a double fork.
//
// A process belongs to the tree if its environment carries the launch's mark (environment.hpp), if it is in
// the group that the leader made, or if its parent belongs. A mark of another launch says that it doesn't.
// Signals are bound to pid and start time: a reused number is never hit.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <string>
#include <vector>

#include "common/async.hpp"
#include "supervisor/process_table.hpp"

namespace cppworker {

struct ProcessTree {
  std::string mark{};  // value of CPPWORKER_TREE
  pid_t leader = -1;   // also the number of its group; -1: unknown, then the mark alone counts
  // Processes that this supervisor manages itself (ProcessRunner::owns). When given, what our own process
  // adopted (orphan_reaper.hpp), isn't managed, and carries no mark at all is taken for the tree's too: it
  // fled with an emptied environment. Give it for the model; a proxy starts no processes.
  std::function<bool(pid_t)> is_managed{};
};

// The tree's processes that are alive right now. The calling process is never among them.
std::vector<ProcessInfo> find_tree(const ProcessTree& tree);

// Sends SIGKILL to all of them, again and again, until a look finds none or `limit` has passed. Returns who
// survived: empty is the proof that the tree is gone. Politeness (the stop signal, time to finish) comes
// before, from service_state.hpp. Adopted zombies are no survivors; somebody must reap them all the same.
Awaitable<std::vector<ProcessInfo>> sweep_tree(ProcessTree tree, std::chrono::milliseconds limit);

}  // namespace cppworker
