// What the kernel's files say about control groups: which folder is whose. proc(5), cgroups(7).
#pragma once

#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace cppworker {

// mountinfo of a container with many volumes has hundreds of lines.
inline constexpr std::size_t kLargestMountinfo = 1 << 20;
inline constexpr std::size_t kLargestCgroupFile = 64 << 10;

// Where the group `path` (of /proc/self/cgroup) lies: below the first mount of mountinfo's text that `wanted`
// accepts, by its type ("cgroup2") and its file system's options ("rw,memory"). nullopt when there is none,
// or the group isn't visible there.
std::optional<std::string> folder_in_mount(
    std::string_view mountinfo, std::string_view path,
    const std::function<bool(std::string_view type, std::string_view options)>& wanted);

}  // namespace cppworker
