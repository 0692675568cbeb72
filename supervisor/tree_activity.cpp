#include "supervisor/tree_activity.hpp"

#include <sys/stat.h>

#include <charconv>
#include <set>

#include "common/text.hpp"
#include "metrics/system_probe.hpp"
#include "supervisor/proc_text.hpp"
#include "supervisor/socket_table.hpp"

namespace cppworker {
namespace {

// A machine with hundreds of interfaces has a longer net/dev; its end is then left out.
constexpr std::size_t kLargestFile = 64 << 10;

std::uint64_t number(std::string_view text) {
  text = trim(text);
  std::uint64_t value = 0;
  std::from_chars(text.data(), text.data() + text.size(), value);
  return value;
}

std::string read_proc(pid_t pid, const char* name, std::size_t limit = kLargestFile) {
  return read_file("/proc/" + std::to_string(pid) + "/" + name, limit).value_or("");
}

// A launch script that starts a container has its processes in another.
bool shares_our_network(pid_t pid) {
  struct stat ours {
  }, its{};
  return ::stat("/proc/self/ns/net", &ours) == 0 &&
         ::stat(("/proc/" + std::to_string(pid) + "/ns/net").c_str(), &its) == 0 &&
         ours.st_dev == its.st_dev && ours.st_ino == its.st_ino;
}

// By connection where the kernel tells. Else the interfaces' bytes, with those of clients among them, as long
// as anybody may be downloading.
std::map<std::uint64_t, std::uint64_t> read_received(pid_t leader) {
  if (shares_our_network(leader))
    if (const auto sockets = list_tcp_sockets()) return received_from_outside(*sockets);
  if (!has_own_connection(read_proc(leader, "net/tcp", kLargestSocketTable)) &&
      !has_own_connection(read_proc(leader, "net/tcp6", kLargestSocketTable)))
    return {};
  return {{TreeActivity::kAllInterfaces, parse_received_bytes(read_proc(leader, "net/dev"))}};
}

}  // namespace

// rchar and wchar count what went through read and write, also to a socket or a tmpfs; read_bytes and
// write_bytes what went to the disk, also for mapped files. Some bytes count twice: it is about movement.
std::uint64_t parse_io_bytes(std::string_view io) {
  std::uint64_t bytes = 0;
  for_each_line(io, [&](std::string_view line) {
    line = trim(line);
    for (const std::string_view name : {"rchar:", "wchar:", "read_bytes:", "write_bytes:"})
      if (line.starts_with(name)) bytes += number(line.substr(name.size()));
  });
  return bytes;
}

// "  eth0: 1234 …": the first number is what was received.
std::uint64_t parse_received_bytes(std::string_view net_dev) {
  std::uint64_t bytes = 0;
  for_each_line(net_dev, [&](std::string_view line) {
    line = trim(line);
    const std::size_t colon = line.find(':');
    if (colon == std::string_view::npos || line.starts_with("lo:")) return;
    bytes += number(line.substr(colon + 1));
  });
  return bytes;
}

// The listeners stand first.
bool has_own_connection(std::string_view sockets) {
  std::set<std::uint16_t> listened_on;
  return find_socket(sockets,
                     [&](const SocketRow& row) {
                       if (row.state == kListening) listened_on.insert(row.local_port);
                       return row.state == kEstablished && !listened_on.contains(row.local_port) &&
                              !is_loopback(row.remote_address);
                     })
      .has_value();
}

std::map<std::uint64_t, std::uint64_t> received_from_outside(const std::vector<TcpSocket>& sockets) {
  std::set<std::uint16_t> listened_on;
  for (const TcpSocket& socket : sockets)
    if (socket.listening) listened_on.insert(socket.local_port);
  std::map<std::uint64_t, std::uint64_t> received;
  for (const TcpSocket& socket : sockets)
    if (!socket.listening && !socket.to_loopback && !listened_on.contains(socket.local_port))
      received[socket.id] = socket.received_bytes;
  return received;
}

TreeActivity read_activity(const std::vector<ProcessInfo>& members, pid_t leader) {
  TreeActivity activity;
  for (const ProcessInfo& member : members) {
    TreeActivity::Process& process = activity.processes[{member.pid, member.start_time}];
    process.bytes = parse_io_bytes(read_proc(member.pid, "io"));
    if (const auto usage = process_usage(member.pid)) process.cpu_seconds = usage->cpu_seconds;
  }
  if (leader <= 0) return activity;
  activity.received_bytes = read_received(leader);
  return activity;
}

}  // namespace cppworker
