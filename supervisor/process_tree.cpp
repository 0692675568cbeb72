#include "supervisor/process_tree.hpp"

#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <unordered_map>

#include "supervisor/environment.hpp"
#include "supervisor/launch_cgroup.hpp"
#include "supervisor/limit_mark.hpp"

namespace cppworker {
namespace {

// Between two looks: the kernel needs a moment to end a process that holds gigabytes, and a look reads all of
// /proc.
constexpr std::chrono::milliseconds kFirstPause{2};
constexpr std::chrono::milliseconds kLongestPause{100};

enum class Membership { kMember, kStranger, kUndecided };

ProcessKey key_of(const ProcessInfo& process) {
  return {process.pid, process.start_time};
}

// What one look knows before it comes to the single process.
struct Look {
  const ProcessTree& tree;
  std::uint64_t mark = 0;      // in the limits of the tree's processes; 0: none
  std::uint64_t own_mark = 0;  // in ours, where the worker itself is somebody's launch
  bool group_is_ours = false;  // the group with the leader's number
};

// A number is given away again when leader and group are gone.
bool is_leaders_group(const ProcessTree& tree, const std::vector<ProcessInfo>& all) {
  if (tree.leader <= 0) return false;
  return tree.leader_start == 0 || std::none_of(all.begin(), all.end(), [&](const ProcessInfo& process) {
           return process.pid == tree.leader && process.start_time != tree.leader_start;
         });
}

// What was read by its number is its own: where numbers are used up within seconds, by something that forks
// without a rest, another process may have had it by the time that its files were read.
bool is_still_the_same(const ProcessInfo& process) {
  const auto now = look_at_process(process.pid);
  return now && now->start_time == process.start_time;
}

// Whoever names these, a file that a crash has left among them, is wrong.
bool is_never_a_member(const ProcessInfo& process) {
  return process.pid == ::getpid() || process.pid == 1;
}

Membership judge_alone(const ProcessInfo& process, const Look& look) {
  const ProcessTree& tree = look.tree;
  if (process.start_time < tree.leader_start) return Membership::kStranger;
  // The number that we have, too, says nothing: where we may not raise it, our launches keep it.
  if (const std::uint64_t number = limit_mark_of_process(process.pid); number != look.own_mark) {
    if (number != 0 && number == look.mark)
      return is_still_the_same(process) ? Membership::kMember : Membership::kStranger;
    if (number != 0) return Membership::kStranger;
  }
  if (!is_held_by_kernel(process))
    if (const auto mark = environment_value(process.pid, kTreeMarkName); mark)
      return *mark == tree.mark && is_still_the_same(process) ? Membership::kMember : Membership::kStranger;
  // Who makes a group can't leave its session, which is ours; a later owner of the number is from anywhere.
  if (look.group_is_ours && process.group == tree.leader && process.session == ::getsid(0))
    return Membership::kMember;
  return Membership::kUndecided;
}

}  // namespace

Result<std::vector<ProcessInfo>> find_tree(const ProcessTree& tree, std::set<ProcessKey>& known) {
  const std::vector<pid_t> grouped = cgroup_members(tree.cgroup);
  const std::set<pid_t> in_cgroup(grouped.begin(), grouped.end());
  const Result<std::vector<ProcessInfo>> listed = list_processes();
  if (!listed) return listed.error();
  const std::vector<ProcessInfo>& all = *listed;
  const Look look{tree, limit_mark_of(tree.mark), limit_mark_of_process(::getpid()),
                  is_leaders_group(tree, all)};
  struct Verdict {
    Membership membership = Membership::kUndecided;
    std::uint64_t start_time = 0;
  };
  std::unordered_map<pid_t, Verdict> verdicts;
  for (const ProcessInfo& process : all) {
    const bool is_known = known.contains(key_of(process)) || in_cgroup.contains(process.pid);
    Membership verdict = Membership::kStranger;
    if (!is_never_a_member(process)) verdict = is_known ? Membership::kMember : judge_alone(process, look);
    verdicts[process.pid] = {verdict, process.start_time};
  }

  // Down the generations, until a round finds no further child: depth rounds over a few hundred processes.
  for (bool grown = true; grown;) {
    grown = false;
    for (const ProcessInfo& process : all) {
      Membership& verdict = verdicts[process.pid].membership;
      const auto parent = verdicts.find(process.parent);
      if (verdict != Membership::kUndecided || parent == verdicts.end()) continue;
      if (parent->second.membership != Membership::kMember) continue;
      // Nobody is older than his parent: that one has got the number since the real one died.
      if (parent->second.start_time > process.start_time) continue;
      verdict = Membership::kMember;
      grown = true;
    }
  }

  std::vector<ProcessInfo> members;
  known.clear();  // of who is gone by now: a server may start thousands of helpers, and run for weeks
  for (const ProcessInfo& process : all) {
    if (verdicts[process.pid].membership != Membership::kMember) continue;
    known.insert(key_of(process));
    members.push_back(process);
  }
  return members;
}

Awaitable<Result<std::vector<ProcessInfo>>> sweep_tree(ProcessTree tree, std::set<ProcessKey> known,
                                                       std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::chrono::milliseconds pause = kFirstPause;
  while (true) {
    const std::set<ProcessKey> before = known;
    Result<std::vector<ProcessInfo>> members = find_tree(tree, known);
    if (members && members->empty()) co_return members;
    if (std::chrono::steady_clock::now() >= deadline) co_return members;
    kill_cgroup(tree.cgroup);
    if (members)
      for (const ProcessInfo& member : *members) signal_process(member, SIGKILL);
    // Something that forks as fast as it can is outrun only by not resting.
    const bool grown = !std::includes(before.begin(), before.end(), known.begin(), known.end());
    pause = grown ? kFirstPause : std::min(pause * 2, kLongestPause);
    co_await sleep_for(pause);
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    if (cancelled.cancelled() != asio::cancellation_type::none) co_return members;
  }
}

}  // namespace cppworker
