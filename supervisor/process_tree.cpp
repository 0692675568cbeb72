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

Membership judge_alone(const ProcessInfo& process, const ProcessTree& tree) {
  if (process.pid == ::getpid() || process.pid == 1) return Membership::kStranger;
  if (const auto mark = environment_value(process.pid, kTreeMarkName); mark)
    return *mark == tree.mark ? Membership::kMember : Membership::kStranger;
  if (const std::uint64_t number = limit_mark_of_process(process.pid); number != 0)
    return number == limit_mark_of(tree.mark) ? Membership::kMember : Membership::kStranger;
  if (tree.leader > 0 && process.group == tree.leader) return Membership::kMember;
  return Membership::kUndecided;
}

}  // namespace

std::vector<ProcessInfo> find_tree(const ProcessTree& tree, std::set<ProcessKey>& known) {
  const std::vector<pid_t> grouped = cgroup_members(tree.cgroup);
  const std::set<pid_t> in_cgroup(grouped.begin(), grouped.end());
  const std::vector<ProcessInfo> all = list_processes();
  std::unordered_map<pid_t, Membership> verdicts;
  for (const ProcessInfo& process : all)
    verdicts[process.pid] = known.contains(key_of(process)) || in_cgroup.contains(process.pid)
                                ? Membership::kMember
                                : judge_alone(process, tree);

  // Down the generations, until a round finds no further child: depth rounds over a few hundred processes.
  for (bool grown = true; grown;) {
    grown = false;
    for (const ProcessInfo& process : all) {
      Membership& verdict = verdicts[process.pid];
      const auto parent = verdicts.find(process.parent);
      if (verdict != Membership::kUndecided || parent == verdicts.end()) continue;
      if (parent->second != Membership::kMember) continue;
      verdict = Membership::kMember;
      grown = true;
    }
  }

  std::vector<ProcessInfo> members;
  for (const ProcessInfo& process : all) {
    if (verdicts[process.pid] != Membership::kMember) continue;
    known.insert(key_of(process));
    members.push_back(process);
  }
  return members;
}

Awaitable<std::vector<ProcessInfo>> sweep_tree(ProcessTree tree, std::set<ProcessKey> known,
                                               std::chrono::milliseconds limit) {
  const auto deadline = std::chrono::steady_clock::now() + limit;
  std::chrono::milliseconds pause = kFirstPause;
  while (true) {
    const std::size_t known_before = known.size();
    std::vector<ProcessInfo> members = find_tree(tree, known);
    if (members.empty()) co_return members;
    if (std::chrono::steady_clock::now() >= deadline) co_return members;
    kill_cgroup(tree.cgroup);
    for (const ProcessInfo& member : members) signal_process(member, SIGKILL);
    // Something that forks as fast as it can is outrun only by not resting.
    pause = known.size() > known_before ? kFirstPause : std::min(pause * 2, kLongestPause);
    co_await sleep_for(pause);
    const auto cancelled = co_await asio::this_coro::cancellation_state;
    if (cancelled.cancelled() != asio::cancellation_type::none) co_return members;
  }
}

}  // namespace cppworker
