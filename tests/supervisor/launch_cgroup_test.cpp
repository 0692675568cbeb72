#include "supervisor/launch_cgroup.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

constexpr const char* kHybrid =
    "25 30 0:22 / /sys/fs/cgroup rw,nosuid - tmpfs tmpfs rw,mode=755\n"
    "26 25 0:23 / /sys/fs/cgroup/unified rw,nosuid shared:9 - cgroup2 cgroup2 rw,nsdelegate\n"
    "27 25 0:24 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";

TEST(LaunchCgroup, FindsTheFolderOfItsOwnGroup) {
  EXPECT_EQ(cgroup_folder(kHybrid, "4:memory:/x\n0::/\n"), "/sys/fs/cgroup/unified");
  EXPECT_EQ(cgroup_folder(kHybrid, "0::/docker/abc\n"), "/sys/fs/cgroup/unified/docker/abc");
  EXPECT_EQ(
      cgroup_folder("30 25 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/abc\n"),
      "/sys/fs/cgroup")
      << "a container that sees the host's paths";
  EXPECT_EQ(
      cgroup_folder("30 25 0:26 /docker/abc /sys/fs/cgroup ro - cgroup2 cgroup rw\n", "0::/docker/abcdef\n"),
      std::nullopt)
      << "another container's group";
  EXPECT_EQ(cgroup_folder(kHybrid, "4:memory:/x\n"), std::nullopt) << "no v2 membership";
  EXPECT_EQ(cgroup_folder("25 30 0:22 / /sys rw - sysfs sysfs rw\n", "0::/\n"), std::nullopt);
  EXPECT_EQ(cgroup_folder("", ""), std::nullopt);
}

TEST(LaunchCgroup, MakesNoneThatItCouldNotKill) {
  const TemporaryFolder folder;  // a file system without the kernel's files in a new folder
  EXPECT_EQ(make_launch_cgroup(folder.path(), "0123456789abcdef0123"), "");
  EXPECT_TRUE(std::filesystem::is_empty(folder.path()));
  EXPECT_EQ(make_launch_cgroup("/nowhere", "0123456789abcdef0123"), "");
}

TEST(LaunchCgroup, ListsMembersOfItAndOfGroupsBelow) {
  const TemporaryFolder parent;
  const std::string folder = parent / "cppworker-0123";
  std::filesystem::create_directories(folder + "/a/b");
  std::ofstream(folder + "/cgroup.procs") << "10\n11\n";
  std::ofstream(folder + "/a/cgroup.procs") << "";
  std::ofstream(folder + "/a/b/cgroup.procs") << "12\n";
  EXPECT_EQ(cgroup_members(folder), (std::vector<pid_t>{10, 11, 12}));
  EXPECT_TRUE(cgroup_members("").empty());
  EXPECT_TRUE(cgroup_members(parent / "cppworker-none").empty());
}

// The folder's path comes from a file that a crash may have left in any state.
TEST(LaunchCgroup, TouchesNoFolderThatIsNoneOfItsOwn) {
  const TemporaryFolder folder;
  std::filesystem::create_directories(folder / "precious");
  std::ofstream(folder / "precious/cgroup.procs") << "10\n";
  std::ofstream(folder / "precious/cgroup.kill") << "0";
  kill_cgroup(folder / "precious");
  remove_launch_cgroup(folder / "precious");
  std::ifstream file(folder / "precious/cgroup.kill");
  EXPECT_EQ(file.get(), '0');
  EXPECT_TRUE(cgroup_members(folder / "precious").empty()) << "who is named as one is sent SIGKILL";
}

}  // namespace
}  // namespace cppworker
