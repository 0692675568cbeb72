// Measures what a tree of processes has done so far, from /proc, for startup_watch.hpp.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <string_view>
#include <vector>

#include "supervisor/process_table.hpp"
#include "supervisor/startup_watch.hpp"
#include "supervisor/tcp_connections.hpp"

namespace cppworker {

// What can't be read (a process that just ended, one of another user) counts as nothing done. The network's
// bytes are those of `leader`'s namespace.
TreeActivity read_activity(const std::vector<ProcessInfo>& members, pid_t leader);

// What came in over the connections that somebody here has opened to another machine, by TreeActivity's keys.
// Those at a port that is listened on were opened from outside: by clients, a scraper, a person.
std::map<std::uint64_t, std::uint64_t> received_from_outside(const std::vector<TcpSocket>& sockets);

// The texts of /proc/<pid>/io and /proc/<pid>/net/dev.
std::uint64_t parse_io_bytes(std::string_view io);
std::uint64_t parse_received_bytes(std::string_view net_dev);

// Whether there is such a connection in the text of /proc/<pid>/net/tcp or tcp6.
bool has_own_connection(std::string_view sockets);

}  // namespace cppworker
