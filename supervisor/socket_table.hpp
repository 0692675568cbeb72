// The rows of /proc/net/tcp and tcp6. Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "supervisor/proc_text.hpp"

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

// None where the line isn't a row.
std::optional<SocketRow> parse_socket(std::string_view line);

// The first row that is meant. Row by row: the rows of a busy machine would be megabytes.
template <class Predicate>
std::optional<SocketRow> find_socket(std::string_view table, Predicate is_meant) {
  std::optional<SocketRow> found;
  for_each_line(table, [&](std::string_view line) {
    if (found) return;
    const std::optional<SocketRow> row = parse_socket(line);
    if (row && is_meant(*row)) found = row;
  });
  return found;
}

bool is_loopback(std::string_view address);
bool is_every_address(std::string_view address);

}  // namespace cppworker
