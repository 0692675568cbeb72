// Whether somebody listens on the port that the inference server is about to take: a server of an earlier
// worker, or one that was started by hand. A new one would end with a traceback, or answer on a port that
// another one answers on, too.
//
// Reads /proc/net/tcp and tcp6; where they can't be read, the port counts as free.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace cppworker {

// "cannot use port 5001: process 4711 (python3, state S) listens on it; end that one".
Result<void> check_port_is_free(std::uint16_t port);

// The socket's inode of a listener on loopback or on all addresses, from the text of /proc/net/tcp or tcp6.
std::optional<std::uint64_t> listener_inode(std::string_view table, std::uint16_t port);

}  // namespace cppworker
