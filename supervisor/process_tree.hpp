// Finds and ends every process that a launch has left anywhere: in its group, in groups and sessions of their
// own (TGI's shards, `unbuffer`), or orphaned by a double fork.
//
// A process belongs to the tree if its limits carry the launch's mark (limit_mark.hpp), if they carry none
// and its environment does (environment.hpp), if it is in the launch's control group, if it is in the group
// that the leader made, if its parent belongs, or if an earlier look found that one of these held. A mark of
// another launch says that it doesn't, and so does a start before the leader's. What merely is our child
// without a mark is none of ours: a shell that became the worker leaves it its jobs, and PID 1 adopts
// whatever is orphaned in the container. Signals are bound to pid and start time: a reused number is never
// hit.
//
// The limits are asked first because they can be read of every process: an environment that is read while a
// driver holds its process stops the reader, too (process_table.hpp), and a server stuck in a driver is the
// very one that has to be found and named.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <functional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "common/async.hpp"
#include "supervisor/process_table.hpp"

namespace cppworker {

struct ProcessTree {
  std::string mark{};              // value of CPPWORKER_TREE
  pid_t leader = -1;               // also the number of its group; -1: unknown, then the mark alone counts
  std::uint64_t leader_start = 0;  // its start time: the number may be another's by now; 0: unknown
  std::string cgroup{};            // the launch's own (launch_cgroup.hpp); empty: none
};

// A process that is told from a later one with the same number: pid and start time.
using ProcessKey = std::pair<pid_t, std::uint64_t>;

// The tree's processes that are alive right now. `known` is what earlier looks found, and becomes what this
// one did: where limits carry no mark, one that flees with an emptied environment, and whose parent dies, has
// lost all else that shows where it comes from. The calling process is never among them. Fails as
// list_processes does; `known` is then what it was.
Result<std::vector<ProcessInfo>> find_tree(const ProcessTree& tree, std::set<ProcessKey>& known);

// Sends SIGKILL to all of them, again and again, until a look finds none or `limit` has passed. Returns who
// survived: empty is the proof that the tree is gone; an error says that the last look failed. Politeness
// (the stop signal, time to finish) comes before, from service_state.hpp. Adopted zombies are no survivors;
// somebody must reap them all the same. `known` as above.
Awaitable<Result<std::vector<ProcessInfo>>> sweep_tree(ProcessTree tree, std::set<ProcessKey> known,
                                                       std::chrono::milliseconds limit);

// As a member of who sweeps: another in tests alone, as nothing withstands SIGKILL when a test wants it to.
using SweepTree = std::function<Awaitable<Result<std::vector<ProcessInfo>>>(ProcessTree, std::set<ProcessKey>,
                                                                            std::chrono::milliseconds)>;

}  // namespace cppworker
