// A control group for each launch, where the instance lets us make one (cgroup v2, writable): then no process
// of the launch can leave it, and one write ends all of them. Elsewhere marks and parents tell who belongs
// (process_tree.hpp).
//
// Files of the kernel: cgroup.procs, cgroup.kill (Linux 5.14). Any thread.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cppworker {

// The folder of a process's own group in the v2 hierarchy, from the texts of /proc/self/mountinfo and
// /proc/self/cgroup; nullopt where there is none.
std::optional<std::string> cgroup_folder(std::string_view mountinfo, std::string_view membership);
std::optional<std::string> own_cgroup_folder();

// A group for a launch below `parent`; empty when none can be made that can also be killed as a whole.
std::string make_launch_cgroup(const std::string& parent, std::string_view tree_mark);
// It and those that the launch made in it. Nothing happens to an empty path, nor while a process is in it.
void remove_launch_cgroup(const std::string& folder);

// The processes in it and below. None of a folder that make_launch_cgroup can't have made: where the path
// comes from a file that a crash has left, the group may be anybody's.
std::vector<pid_t> cgroup_members(const std::string& folder);
// SIGKILL to all of them, also to what is being forked this instant.
void kill_cgroup(const std::string& folder);

}  // namespace cppworker
