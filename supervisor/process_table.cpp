#include "supervisor/process_table.hpp"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>
#include <system_error>

#include "common/logging.hpp"
#include "common/text.hpp"
#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

constexpr std::size_t kLargestStat = 4096;
// The kernel allows arguments and environment 2 MiB together by default; a service's takes a few KiB.
constexpr std::size_t kLargestEnvironment = 2 << 20;

struct StatLine {
  ProcessInfo info;
  int threads = 0;
};

// Fields of /proc/<pid>/stat after the name, numbered as proc(5) does.
constexpr int kFieldState = 3, kFieldParent = 4, kFieldGroup = 5, kFieldThreads = 20, kFieldStartTime = 22,
              kFieldResident = 24;

std::optional<StatLine> read_stat(pid_t pid) {
  errno = 0;
  const auto text = read_file("/proc/" + std::to_string(pid) + "/stat", kLargestStat);
  // Without a descriptor to look with, a living process must not be taken for one that is gone.
  if (!text && (errno == EMFILE || errno == ENFILE || errno == ENOMEM))
    throw std::system_error(errno, std::generic_category(), "cannot read /proc");
  if (!text) return std::nullopt;
  // The name may hold blanks and parentheses: it ends at the last one.
  const std::size_t open = text->find('('), close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;

  StatLine made;
  made.info.pid = pid;
  made.info.comm = text->substr(open + 1, close - open - 1);
  std::string_view rest = std::string_view(*text).substr(close + 1);
  for (int field = kFieldState; field <= kFieldResident; ++field) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
    if (word.empty()) return std::nullopt;
    auto number = [&](auto& into) { std::from_chars(word.data(), word.data() + word.size(), into); };
    switch (field) {
      case kFieldState:
        made.info.state = word[0];
        break;
      case kFieldParent:
        number(made.info.parent);
        break;
      case kFieldGroup:
        number(made.info.group);
        break;
      case kFieldThreads:
        number(made.threads);
        break;
      case kFieldStartTime:
        number(made.info.start_time);
        break;
      case kFieldResident: {
        static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        number(made.info.resident_bytes);
        made.info.resident_bytes *= page;
        break;
      }
      default:
        break;
    }
  }
  return made;
}

bool is_dead(const StatLine& line) {
  return line.info.state == 'X' || (line.info.state == 'Z' && line.threads <= 1);
}

}  // namespace

std::string ProcessInfo::text() const {
  return std::to_string(pid) + " (" + printable(comm) + ", state " + std::string(1, state) + ")";
}

std::optional<ProcessInfo> look_at_process(pid_t pid) {
  auto line = read_stat(pid);
  if (!line) return std::nullopt;
  return std::move(line->info);
}

std::vector<ProcessInfo> list_processes(Zombies zombies) {
  std::vector<ProcessInfo> made;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), ::closedir);
  if (!folder) throw std::system_error(errno, std::generic_category(), "cannot read /proc");
  while (const dirent* entry = ::readdir(folder.get())) {
    const char* end = entry->d_name + std::strlen(entry->d_name);
    pid_t pid = 0;
    const auto [stop, problem] = std::from_chars(entry->d_name, end, pid);
    if (problem != std::errc() || stop != end) continue;
    auto line = read_stat(pid);
    if (line && (zombies == Zombies::kInclude || !is_dead(*line))) made.push_back(std::move(line->info));
  }
  return made;
}

std::optional<std::string> environment_value(pid_t pid, std::string_view name) {
  const auto text = read_file("/proc/" + std::to_string(pid) + "/environ", kLargestEnvironment);
  if (!text) return std::nullopt;
  std::string_view rest = *text;
  while (!rest.empty()) {
    const std::string_view entry = rest.substr(0, rest.find('\0'));
    rest.remove_prefix(std::min(entry.size() + 1, rest.size()));
    if (entry.size() > name.size() && entry.starts_with(name) && entry[name.size()] == '=')
      return std::string(entry.substr(name.size() + 1));
  }
  return std::nullopt;
}

bool signal_process(const ProcessInfo& process, int signal) {
  // The descriptor is bound to whoever has the number now; the start time then says whether that is still the
  // one that was meant. From there on the number's fate doesn't matter.
  const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, process.pid, 0)));
  if (!pidfd) return false;
  const auto now = look_at_process(process.pid);
  if (!now || now->start_time != process.start_time) return false;
  return ::syscall(SYS_pidfd_send_signal, pidfd.get(), signal, nullptr, 0) == 0;
}

}  // namespace cppworker
