// Measures what a tree of processes has done so far, from /proc, for startup_watch.hpp.
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "supervisor/process_table.hpp"
#include "supervisor/startup_watch.hpp"

namespace cppworker {

// What can't be read (a process that just ended, one of another user) counts as nothing done. The network's
// bytes are those of `leader`'s namespace, loopback aside.
TreeActivity read_activity(const std::vector<ProcessInfo>& members, pid_t leader);

// The texts of /proc/<pid>/io and /proc/<pid>/net/dev.
std::uint64_t parse_io_bytes(std::string_view io);
std::uint64_t parse_received_bytes(std::string_view net_dev);

}  // namespace cppworker
