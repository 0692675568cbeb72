#include "supervisor/port_check.hpp"

#include <dirent.h>
#include <unistd.h>

#include <memory>
#include <set>
#include <vector>

#include "common/logging.hpp"
#include "common/text.hpp"
#include "supervisor/process_table.hpp"
#include "supervisor/socket_table.hpp"

namespace cppworker {
namespace {

std::string holder_of(std::uint64_t inode) {
  const std::string wanted = "socket:[" + std::to_string(inode) + "]";
  const Result<std::vector<ProcessInfo>> all = list_processes();
  if (!all) return "a process that can't be looked for now";
  for (const ProcessInfo& process : *all) {
    const std::string folder = "/proc/" + std::to_string(process.pid) + "/fd";
    const std::unique_ptr<DIR, int (*)(DIR*)> fds(::opendir(folder.c_str()), ::closedir);
    if (!fds) continue;
    while (const dirent* entry = ::readdir(fds.get())) {
      char target[64];
      const ssize_t size = ::readlinkat(::dirfd(fds.get()), entry->d_name, target, sizeof target);
      if (size > 0 && std::string_view(target, static_cast<std::size_t>(size)) == wanted)
        return "process " + process.text();
    }
  }
  return "a process that can't be seen from here";
}

std::optional<std::uint64_t> find_listener(std::string_view table, std::uint16_t port, bool on_loopback) {
  const std::optional<SocketRow> found = find_socket(table, [&](const SocketRow& row) {
    const bool reachable = is_loopback(row.local_address) || is_every_address(row.local_address);
    return row.state == kListening && row.local_port == port && reachable == on_loopback;
  });
  return found ? std::optional(found->inode) : std::nullopt;
}

}  // namespace

std::optional<std::uint64_t> listener_inode(std::string_view table, std::uint16_t port) {
  return find_listener(table, port, true);
}

std::optional<std::uint64_t> other_listener_inode(std::string_view table, std::uint16_t port) {
  return find_listener(table, port, false);
}

Result<void> check_port_is_free(std::uint16_t port) {
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    const std::string table = read_file(file, kLargestSocketTable).value_or("");
    if (const auto inode = listener_inode(table, port))
      return fail("cannot use port " + std::to_string(port) + ": " + holder_of(*inode) +
                  " listens on it; end that one");
    if (const auto inode = other_listener_inode(table, port))
      spdlog::warn(
          "{} listens on port {} of an address of the network: a server that takes all addresses can't have "
          "it",
          holder_of(*inode), port);
  }
  return {};
}

Result<void> check_ports_are_free(const BackendDefinition& backend) {
  std::set<std::uint16_t> ports = {backend.server.port};
  for (const EndpointDefinition& endpoint : backend.endpoints)
    if (endpoint.server) ports.insert(endpoint.server->port);
  for (const std::uint16_t port : ports)
    if (Result<void> free = check_port_is_free(port); !free) return free;
  return {};
}

}  // namespace cppworker
