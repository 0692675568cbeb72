// One request on a TLS connection of its own, and how its answer ended: what a client of a failing worker
// sees, which the ordinary clients of the tests don't tell apart.
//
// Blocks, for kClientPatience without a byte at most. Any thread. SIGPIPE must be ignored.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cppworker::chaos {

// Beyond any recovery of the worker that a fault here asks for.
inline constexpr std::chrono::seconds kClientPatience{120};

// How the client behaves where it isn't patient and quick.
struct Manner {
  std::chrono::milliseconds between_reads{0};  // it reads slowly, and the kernel keeps little for it
  std::optional<std::chrono::milliseconds> leaves_after = {};  // goes away when nothing has come for so long
  std::size_t leaves_with = 0;  // goes away once it has so many bytes; 0: stays
};

struct Exchange {
  std::string bytes;  // of the answer, until the connection ended
  bool timed_out = false;
  bool left = false;  // the client went away, as its manner is
};
Exchange exchange(std::uint16_t port, std::string_view request, const Manner& manner = {});

// The common name of the certificate that is shown there; empty when there is no handshake.
std::string certificate_shown(std::uint16_t port);

}  // namespace cppworker::chaos
