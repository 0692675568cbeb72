#include "supervisor/process_table.hpp"

#include <dirent.h>
#include <signal.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <charconv>
#include <cstring>
#include <memory>

#include "common/logging.hpp"
#include "common/text.hpp"
#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

constexpr std::size_t kLargestStat = 4096;
// The kernel allows arguments and environment 2 MiB together by default; a service's takes a few KiB.
constexpr std::size_t kLargestEnvironment = 2 << 20;

// Fields of /proc/<pid>/stat after the name, numbered as proc(5) does.
constexpr int kFieldState = 3, kFieldParent = 4, kFieldGroup = 5, kFieldSession = 6, kFieldThreads = 20,
              kFieldStartTime = 22, kFieldResident = 24;

// nullopt with errno set when it can't be read.
std::optional<ProcessInfo> read_stat(const std::string& path, pid_t pid) {
  errno = 0;
  const auto text = read_file(path, kLargestStat);
  if (!text) return std::nullopt;
  // The name may hold blanks and parentheses: it ends at the last one.
  const std::size_t open = text->find('('), close = text->rfind(')');
  if (open == std::string::npos || close == std::string::npos || close < open) return std::nullopt;

  ProcessInfo made;
  made.pid = pid;
  made.comm = text->substr(open + 1, close - open - 1);
  std::string_view rest = std::string_view(*text).substr(close + 1);
  for (int field = kFieldState; field <= kFieldResident; ++field) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    const std::string_view word = rest.substr(0, rest.find(' '));
    rest.remove_prefix(word.size());
    if (word.empty()) return std::nullopt;
    auto number = [&](auto& into) { std::from_chars(word.data(), word.data() + word.size(), into); };
    switch (field) {
      case kFieldState:
        made.state = word[0];
        break;
      case kFieldParent:
        number(made.parent);
        break;
      case kFieldGroup:
        number(made.group);
        break;
      case kFieldSession:
        number(made.session);
        break;
      case kFieldThreads:
        number(made.threads);
        break;
      case kFieldStartTime:
        number(made.start_time);
        break;
      case kFieldResident: {
        static const auto page = static_cast<std::uint64_t>(::sysconf(_SC_PAGESIZE));
        number(made.resident_bytes);
        made.resident_bytes *= page;
        break;
      }
      default:
        break;
    }
  }
  return made;
}

std::optional<ProcessInfo> read_stat(pid_t pid) {
  return read_stat("/proc/" + std::to_string(pid) + "/stat", pid);
}

bool is_dead(const ProcessInfo& process) {
  return process.state == 'X' || (process.state == 'Z' && process.threads <= 1);
}

// The worker's own want, which says nothing about the process that was looked at.
bool is_our_want(int cause) {
  return cause == EMFILE || cause == ENFILE || cause == ENOMEM;
}

Error cannot_read_proc(int cause) {
  return fail(std::string("cannot read /proc: ") + std::strerror(cause));
}

}  // namespace

std::string ProcessInfo::text() const {
  return std::to_string(pid) + " (" + printable(comm) + ", state " + std::string(1, state) + ")";
}

std::optional<ProcessInfo> look_at_process(pid_t pid) {
  return read_stat(pid);
}

Result<std::vector<ProcessInfo>> list_processes(Zombies zombies) {
  std::vector<ProcessInfo> made;
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir("/proc"), ::closedir);
  if (!folder) return cannot_read_proc(errno);
  while (const dirent* entry = ::readdir(folder.get())) {
    const char* end = entry->d_name + std::strlen(entry->d_name);
    pid_t pid = 0;
    const auto [stop, problem] = std::from_chars(entry->d_name, end, pid);
    if (problem != std::errc() || stop != end) continue;
    auto process = read_stat(pid);
    if (!process && is_our_want(errno)) return cannot_read_proc(errno);
    if (process && (zombies == Zombies::kInclude || !is_dead(*process))) made.push_back(std::move(*process));
  }
  return made;
}

bool is_held_by_kernel(const ProcessInfo& process) {
  if (process.state == 'D') return true;
  if (process.threads <= 1) return false;
  const std::string path = "/proc/" + std::to_string(process.pid) + "/task";
  const std::unique_ptr<DIR, int (*)(DIR*)> folder(::opendir(path.c_str()), ::closedir);
  if (!folder) return is_our_want(errno);
  while (const dirent* entry = ::readdir(folder.get())) {
    if (entry->d_name[0] == '.') continue;
    const auto thread = read_stat(path + "/" + entry->d_name + "/stat", process.pid);
    if (thread ? thread->state == 'D' : is_our_want(errno)) return true;
  }
  return false;
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
