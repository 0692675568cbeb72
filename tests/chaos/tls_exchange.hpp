// One request on a TLS connection of its own, and how its answer ended: what a client of a failing worker
// sees, which the ordinary clients of the tests don't tell apart.
//
// Blocks, for kClientPatience without a byte at most. Any thread. SIGPIPE must be ignored.
#pragma once

#include <chrono>
#include <cstdint>
#include <string>
#include <string_view>

namespace cppworker::chaos {

// Beyond any recovery of the worker that a fault here asks for.
inline constexpr std::chrono::seconds kClientPatience{120};

struct Exchange {
  std::string bytes;  // of the answer, until the connection ended
  bool timed_out = false;
};
Exchange exchange(std::uint16_t port, std::string_view request);

// The common name of the certificate that is shown there; empty when there is no handshake.
std::string certificate_shown(std::uint16_t port);

}  // namespace cppworker::chaos
