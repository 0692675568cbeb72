#include "metrics/system_probe.hpp"

#include <sys/statvfs.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>
#include <vector>

#include "common/text.hpp"

namespace cppworker {
namespace {

// A stat line has 52 short fields.
constexpr std::size_t kLongestStat = 4096;

// Fields by their number in proc(5), which begins at 1 with the pid.
constexpr std::size_t kUserTicks = 14, kSystemTicks = 15, kThreads = 20, kResidentPages = 24;
constexpr std::size_t kFirstAfterName = 3;

std::optional<std::int64_t> number(const std::vector<std::string>& fields, std::size_t field) {
  if (field - kFirstAfterName >= fields.size()) return std::nullopt;
  const std::string& text = fields[field - kFirstAfterName];
  std::int64_t value = 0;
  auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::int64_t open_files(pid_t pid) {
  std::error_code error;
  std::int64_t count = 0;
  std::filesystem::directory_iterator entry("/proc/" + std::to_string(pid) + "/fd", error), end;
  for (; !error && entry != end; entry.increment(error)) ++count;
  return count;
}

}  // namespace

std::optional<double> disk_used_gib(const std::string& path) {
  constexpr double kGib = 1024.0 * 1024.0 * 1024.0;
  struct statvfs status {};
  if (::statvfs(path.c_str(), &status) != 0) return std::nullopt;
  return static_cast<double>(status.f_blocks - status.f_bfree) * static_cast<double>(status.f_frsize) / kGib;
}

std::optional<ProcessUsage> parse_proc_stat(std::string_view text, std::int64_t page_bytes,
                                            std::int64_t ticks_per_second) {
  std::size_t name_end = text.rfind(')');
  if (name_end == std::string_view::npos) return std::nullopt;
  std::vector<std::string> fields = split_list(text.substr(name_end + 1), ' ');
  auto user = number(fields, kUserTicks), system = number(fields, kSystemTicks);
  auto threads = number(fields, kThreads), pages = number(fields, kResidentPages);
  if (!user || !system || !threads || !pages) return std::nullopt;
  ProcessUsage usage;
  usage.resident_bytes = static_cast<std::uint64_t>(*pages * page_bytes);
  usage.cpu_seconds = static_cast<double>(*user + *system) / static_cast<double>(ticks_per_second);
  usage.threads = *threads;
  return usage;
}

std::optional<ProcessUsage> process_usage(pid_t pid) {
  auto text = read_file("/proc/" + std::to_string(pid) + "/stat", kLongestStat);
  if (!text) return std::nullopt;
  auto usage = parse_proc_stat(*text, ::sysconf(_SC_PAGESIZE), ::sysconf(_SC_CLK_TCK));
  if (usage) usage->open_files = open_files(pid);
  return usage;
}

}  // namespace cppworker
