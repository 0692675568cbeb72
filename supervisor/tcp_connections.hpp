// The TCP connections of our network namespace, each with what has come in over it, as the kernel counts it
// (sock_diag(7); what `ss -ti` shows). The interfaces' counters know only the sum of everybody's.
//
// Costs about what reading /proc/net/tcp does: some milliseconds with 10000 connections. Threads: any.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace cppworker {

struct TcpSocket {
  std::uint64_t id = 0;  // the kernel's own, which it gives to no other
  std::uint16_t local_port = 0;
  bool listening = false;    // else it is an established connection
  bool to_loopback = false;  // to this machine
  std::uint64_t received_bytes = 0;
};

// Listeners and established connections. None where the kernel doesn't tell: built without tcp_diag, or a
// sandbox that forbids to ask.
std::optional<std::vector<TcpSocket>> list_tcp_sockets();

}  // namespace cppworker
