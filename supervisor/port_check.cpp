#include "supervisor/port_check.hpp"

#include <dirent.h>
#include <unistd.h>

#include <charconv>
#include <memory>
#include <vector>

#include "common/text.hpp"
#include "supervisor/process_table.hpp"

namespace cppworker {
namespace {

// A machine with tens of thousands of connections; the listeners stand first.
constexpr std::size_t kLargestTable = 4 << 20;
constexpr std::string_view kListening = "0A";  // TCP_LISTEN

bool is_reachable_on_loopback(std::string_view address) {
  if (address.find_first_not_of('0') == std::string_view::npos) return true;  // all addresses
  // Words in the machine's own order: 127.0.0.1 is 0100007F. The same at the end of an IPv4 address in IPv6.
  if (address.size() == 8 || address.starts_with("0000000000000000FFFF0000")) return address.ends_with("7F");
  return address == "00000000000000000000000001000000";  // ::1
}

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

}  // namespace

std::optional<std::uint64_t> listener_inode(std::string_view table, std::uint16_t port) {
  while (!table.empty()) {
    const std::size_t end = std::min(table.find('\n'), table.size());
    std::string_view line = table.substr(0, end);
    table.remove_prefix(std::min(end + 1, table.size()));
    // "0: 0100007F:1389 00000000:0000 0A queue timer retransmits uid timeout INODE …"
    std::vector<std::string_view> words;
    while (!line.empty() && words.size() < 10) {
      const std::size_t stop = std::min(line.find(' '), line.size());
      if (stop > 0) words.push_back(line.substr(0, stop));
      line.remove_prefix(std::min(stop + 1, line.size()));
    }
    if (words.size() < 10 || words[3] != kListening) continue;
    const std::size_t colon = words[1].find(':');
    if (colon == std::string_view::npos) continue;
    unsigned number = 0;
    std::from_chars(words[1].data() + colon + 1, words[1].data() + words[1].size(), number, 16);
    std::uint64_t inode = 0;
    std::from_chars(words[9].data(), words[9].data() + words[9].size(), inode);
    if (number == port && is_reachable_on_loopback(words[1].substr(0, colon))) return inode;
  }
  return std::nullopt;
}

Result<void> check_port_is_free(std::uint16_t port) {
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"})
    if (const auto inode = listener_inode(read_file(file, kLargestTable).value_or(""), port))
      return fail("cannot use port " + std::to_string(port) + ": " + holder_of(*inode) +
                  " listens on it; end that one");
  return {};
}

}  // namespace cppworker
