// The rows of /proc/net/tcp and tcp6. Pure.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace cppworker {

// Texts are as they stand in the table, which must outlive them: addresses in hexadecimal, in words of the
// machine's own order.
struct SocketRow {
  std::string_view local_address, remote_address;
  std::uint16_t local_port = 0, remote_port = 0;
  std::string_view state;  // kListening, kEstablished, …
  std::uint64_t inode = 0;
};
inline constexpr std::string_view kListening = "0A", kEstablished = "01";

// A machine with tens of thousands of connections; the listeners stand first.
inline constexpr std::size_t kLargestSocketTable = 4 << 20;

// Lines that aren't rows are left out.
std::vector<SocketRow> parse_socket_table(std::string_view text);

bool is_loopback(std::string_view address);
bool is_every_address(std::string_view address);

}  // namespace cppworker
