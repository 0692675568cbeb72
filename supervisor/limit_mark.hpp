// A second mark of a launch's processes, for those that empty their environment: a resource limit.
//
// Linux has ignored RLIMIT_LOCKS since 2.4.25, but keeps it, hands it on through fork and exec, shows it in
// /proc to everyone, and lets nobody without privileges raise it again. So it carries a number through
// whatever a process does to its environment, session, group or parents. Where it can't be set (an outer
// limit that is lower, a sandbox's kernel) there is none, and the environment's mark (environment.hpp) is
// all.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <string_view>

namespace cppworker {

// The number that goes with a launch's mark; 0: that text has none.
std::uint64_t limit_mark_of(std::string_view tree_mark);

// Marks the calling process. Async-signal-safe: for the child between fork and exec.
void set_limit_mark(std::uint64_t number);

// 0 when it has none, is gone, or can't be looked at.
std::uint64_t limit_mark_of_process(pid_t pid);

}  // namespace cppworker
