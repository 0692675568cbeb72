#include "supervisor/cgroup_files.hpp"

#include "supervisor/proc_text.hpp"

namespace cppworker {
namespace {

// What is left of `path` below the mount's root; nullopt when it lies elsewhere.
std::optional<std::string_view> below(std::string_view root, std::string_view path) {
  if (root == "/") return path == "/" ? "" : path;
  if (!path.starts_with(root)) return std::nullopt;
  path.remove_prefix(root.size());
  if (!path.empty() && path.front() != '/') return std::nullopt;
  return path;
}

}  // namespace

std::optional<std::string> folder_in_mount(
    std::string_view mountinfo, std::string_view path,
    const std::function<bool(std::string_view type, std::string_view options)>& wanted) {
  std::optional<std::string> found;
  for_each_line(mountinfo, [&](std::string_view line) {
    // "36 35 98:0 ROOT MOUNTPOINT OPTIONS … - TYPE SOURCE OPTIONS"
    const std::size_t dash = line.find(" - ");
    if (found || dash == std::string_view::npos) return;
    const std::vector<std::string_view> mount = words_of(line.substr(0, dash));
    const std::vector<std::string_view> kind = words_of(line.substr(dash + 3));
    if (mount.size() < 5 || kind.size() < 3 || !wanted(kind[0], kind[2])) return;
    if (const auto rest = below(mount[3], path)) found = std::string(mount[4]) + std::string(*rest);
  });
  return found;
}

}  // namespace cppworker
