#include "supervisor/memory_kills.hpp"

#include <algorithm>
#include <charconv>

#include "common/text.hpp"
#include "supervisor/cgroup_files.hpp"
#include "supervisor/launch_cgroup.hpp"
#include "supervisor/proc_text.hpp"

namespace cppworker {
namespace {

std::optional<std::uint64_t> kills_in(const std::string& file) {
  const auto text = read_file(file, kLargestCgroupFile);
  if (!text) return std::nullopt;
  std::optional<std::uint64_t> count;
  for_each_line(*text, [&](std::string_view line) {
    constexpr std::string_view kName = "oom_kill ";
    if (!line.starts_with(kName)) return;
    std::uint64_t number = 0;
    const char* end = line.data() + line.size();
    if (std::from_chars(line.data() + kName.size(), end, number).ec == std::errc()) count = number;
  });
  return count;
}

// Of "rw,cpu,memory".
bool names(std::string_view list, std::string_view wanted) {
  const std::vector<std::string> parts = split_list(list, ',');
  return std::find(parts.begin(), parts.end(), wanted) != parts.end();
}

}  // namespace

std::optional<std::uint64_t> memory_kills(const std::string& folder) {
  if (folder.empty()) return std::nullopt;
  if (const auto count = kills_in(folder + "/memory.events")) return count;
  return kills_in(folder + "/memory.oom_control");
}

std::optional<std::string> cgroup_v1_folder(std::string_view mountinfo, std::string_view membership,
                                            std::string_view controller) {
  std::optional<std::string> path;
  for_each_line(membership, [&](std::string_view line) {
    // "4:cpu,memory:/docker/abc"
    const std::size_t first = line.find(':'), second = line.find(':', first + 1);
    if (second == std::string_view::npos) return;
    if (names(line.substr(first + 1, second - first - 1), controller)) path = line.substr(second + 1);
  });
  if (!path) return std::nullopt;
  return folder_in_mount(mountinfo, *path, [&](std::string_view type, std::string_view options) {
    return type == "cgroup" && names(options, controller);
  });
}

std::string own_memory_group() {
  const std::string second = own_cgroup_folder().value_or("");
  if (memory_kills(second)) return second;
  const auto first =
      cgroup_v1_folder(read_file("/proc/self/mountinfo", kLargestMountinfo).value_or(""),
                       read_file("/proc/self/cgroup", kLargestCgroupFile).value_or(""), "memory");
  return first && memory_kills(*first) ? *first : "";
}

}  // namespace cppworker
