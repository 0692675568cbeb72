#include "supervisor/launch_cgroup.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <charconv>
#include <filesystem>

#include "common/text.hpp"
#include "common/unique_fd.hpp"
#include "supervisor/cgroup_files.hpp"
#include "supervisor/proc_text.hpp"

namespace cppworker {
namespace {

namespace fs = std::filesystem;

// Enough of the mark to tell the groups of one worker apart.
constexpr std::size_t kMarkDigits = 16;
constexpr std::string_view kNamePrefix = "cppworker-";

bool write_to(const std::string& file, std::string_view text) {
  const UniqueFd fd(::open(file.c_str(), O_WRONLY | O_CLOEXEC));
  return fd && ::write(fd.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size());
}

// Only what make_launch_cgroup made is ever read, written to or removed: the path may come from a file.
bool is_ours(const std::string& folder) {
  return fs::path(folder).filename().string().starts_with(kNamePrefix) &&
         ::access((folder + "/cgroup.procs").c_str(), F_OK) == 0;
}

}  // namespace

std::optional<std::string> cgroup_folder(std::string_view mountinfo, std::string_view membership) {
  std::optional<std::string> path;
  for_each_line(membership, [&](std::string_view line) {
    if (line.starts_with("0::/")) path = std::string(line.substr(3));
  });
  if (!path) return std::nullopt;
  return folder_in_mount(mountinfo, *path,
                         [](std::string_view type, std::string_view) { return type == "cgroup2"; });
}

std::optional<std::string> own_cgroup_folder() {
  return cgroup_folder(read_file("/proc/self/mountinfo", kLargestMountinfo).value_or(""),
                       read_file("/proc/self/cgroup", kLargestCgroupFile).value_or(""));
}

std::string make_launch_cgroup(const std::string& parent, std::string_view tree_mark) {
  std::string folder =
      parent + "/" + std::string(kNamePrefix) + std::string(tree_mark.substr(0, kMarkDigits));
  if (::mkdir(folder.c_str(), 0755) != 0) return {};
  if (::access((folder + "/cgroup.kill").c_str(), W_OK) == 0 &&
      ::access((folder + "/cgroup.procs").c_str(), W_OK) == 0)
    return folder;
  ::rmdir(folder.c_str());
  return {};
}

void remove_launch_cgroup(const std::string& folder) {
  if (folder.empty() || !is_ours(folder)) return;
  // The kernel's files in it can't be removed, and needn't be: folders alone, the deepest first.
  std::error_code ignored;
  std::vector<std::string> below;
  for (fs::recursive_directory_iterator at(folder, ignored), end; at != end; at.increment(ignored))
    if (at->is_directory(ignored)) below.push_back(at->path().string());
  for (auto one = below.rbegin(); one != below.rend(); ++one) ::rmdir(one->c_str());
  ::rmdir(folder.c_str());
}

std::vector<pid_t> cgroup_members(const std::string& folder) {
  std::vector<pid_t> members;
  if (folder.empty() || !is_ours(folder)) return members;
  auto add = [&](const fs::path& group) {
    const auto text = read_file((group / "cgroup.procs").string(), std::size_t{1} << 20);
    for_each_line(text.value_or(""), [&](std::string_view line) {
      pid_t pid = 0;
      if (std::from_chars(line.data(), line.data() + line.size(), pid).ec == std::errc() && pid > 0)
        members.push_back(pid);
    });
  };
  add(folder);
  std::error_code ignored;
  for (fs::recursive_directory_iterator at(folder, ignored), end; at != end; at.increment(ignored))
    if (at->is_directory(ignored)) add(at->path());
  return members;
}

void kill_cgroup(const std::string& folder) {
  if (!folder.empty() && is_ours(folder)) write_to(folder + "/cgroup.kill", "1");
}

}  // namespace cppworker
