// Looks at the machine from outside the processes: how full a file system is, and what a process uses.
//
// Linux: statvfs and /proc. Any thread; each call reads anew. nullopt when there is nothing to read, as after
// a process ended.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cppworker {

// Used space of the file system that holds `path`, in GiB.
std::optional<double> disk_used_gib(const std::string& path = "/");

struct ProcessUsage {
  std::uint64_t resident_bytes = 0;
  double cpu_seconds = 0;  // user and system, of all its threads; not of its children
  std::int64_t threads = 0;
  std::int64_t open_files = 0;  // 0 when we may not look
};

std::optional<ProcessUsage> process_usage(pid_t pid);

// The same from the text of /proc/<pid>/stat, whose second field, the name, may hold blanks and brackets.
std::optional<ProcessUsage> parse_proc_stat(std::string_view text, std::int64_t page_bytes,
                                            std::int64_t ticks_per_second);

}  // namespace cppworker
