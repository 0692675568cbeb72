// Measures what a tree of processes has done so far, from /proc, for startup_watch.hpp.
#pragma once

#include <sys/types.h>

#include <string_view>
#include <vector>

#include "supervisor/process_table.hpp"
#include "supervisor/startup_watch.hpp"

namespace cppworker {

// What can't be read (a process that just ended, one of another user) counts as nothing done. The network's
// bytes are those of `leader`'s namespace, loopback aside; clients upload through it, too, to `public_port`.
TreeActivity read_activity(const std::vector<ProcessInfo>& members, pid_t leader, std::uint16_t public_port);

// The texts of /proc/<pid>/io and /proc/<pid>/net/dev.
std::uint64_t parse_io_bytes(std::string_view io);
std::uint64_t parse_received_bytes(std::string_view net_dev);

// Whether there is a connection to another machine that isn't one of a client's to `public_port`, in the text
// of /proc/<pid>/net/tcp or tcp6.
bool has_own_connection(std::string_view sockets, std::uint16_t public_port);

}  // namespace cppworker
