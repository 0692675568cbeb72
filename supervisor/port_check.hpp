// Whether somebody listens on a port that the inference server is about to take: a server of an earlier
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
#include "launchers/backend_definition.hpp"

namespace cppworker {

// "cannot use port 5001: process 4711 (python3, state S) listens on it; end that one". A listener on an
// address of the network alone costs a warning: a server on loopback lives beside it (a forwarder into the
// container has the same port, as a rule), one that takes all addresses doesn't.
Result<void> check_port_is_free(std::uint16_t port);

// The server's, and those that endpoints have beside it.
Result<void> check_ports_are_free(const BackendDefinition& backend);

// The socket's inode of a listener on loopback or on all addresses, from the text of /proc/net/tcp or tcp6.
std::optional<std::uint64_t> listener_inode(std::string_view table, std::uint16_t port);
// Of one on any other address.
std::optional<std::uint64_t> other_listener_inode(std::string_view table, std::uint16_t port);

}  // namespace cppworker
