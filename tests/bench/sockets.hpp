// Plain sockets for the programs of the measurement: as little CPU as possible beside what is measured, and
// nothing of the library that the proxy is built on, whose faults would cancel out.
//
// What can't be had ends the program with a message: a measurement goes on with nothing half-done.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "common/unique_fd.hpp"

namespace cppworker::bench {

// The port is the machine's to choose when it is 0.
UniqueFd listen_on_loopback(std::uint16_t port);
std::uint16_t port_of(const UniqueFd& listener);
// Connected, without Nagle's delay, blocking until set_nonblocking.
UniqueFd connect_to_loopback(std::uint16_t port);
void set_nonblocking(const UniqueFd& socket);
// The whole of it, waiting as long as it takes on a blocking socket. False when the other side is gone.
bool write_all(const UniqueFd& socket, std::string_view data);

// Nanoseconds of the monotonic clock, the same for all processes of the machine.
std::int64_t now_ns();

// The head of a message, as far as these programs need it.
struct Head {
  std::size_t size = 0;             // with the empty line
  std::uint64_t body_bytes = 0;     // Content-Length
  std::string_view first_line;      // without its end
  int status() const;               // of a response's first line
  std::string_view target() const;  // of a request's first line
};
// nullopt: the head isn't all there yet.
std::optional<Head> find_head(std::string_view received);

std::string post_head(std::string_view target, std::size_t body_bytes);

std::string read_whole_file(const std::string& path);

[[noreturn]] void give_up(const std::string& message);

}  // namespace cppworker::bench
