#include "supervisor/memory_kills.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

TEST(MemoryKills, AreCountedByTheSecondVersionsEvents) {
  const TemporaryFolder folder;
  EXPECT_EQ(memory_kills(folder.path()), std::nullopt);
  std::ofstream(folder / "memory.events") << "low 0\nhigh 0\nmax 12\noom 3\noom_kill 2\noom_group_kill 0\n";
  EXPECT_EQ(memory_kills(folder.path()), 2u);
}

TEST(MemoryKills, AreCountedByTheFirstVersionsControl) {
  const TemporaryFolder folder;
  std::ofstream(folder / "memory.oom_control") << "oom_kill_disable 0\nunder_oom 0\noom_kill 5\n";
  EXPECT_EQ(memory_kills(folder.path()), 5u);
}

TEST(MemoryKills, AreUnknownWhereNobodyCounts) {
  const TemporaryFolder folder;
  std::ofstream(folder / "memory.oom_control") << "oom_kill_disable 0\nunder_oom 0\n";  // before Linux 4.13
  EXPECT_EQ(memory_kills(folder.path()), std::nullopt);
  EXPECT_EQ(memory_kills(""), std::nullopt);
  EXPECT_EQ(memory_kills("/nowhere"), std::nullopt);
}

TEST(RecentMemoryKills, AreThoseOfTheLastMoments) {
  using namespace std::chrono_literals;
  RecentMemoryKills kills;
  RecentMemoryKills::TimePoint now{1000h};
  kills.begin(3, now);
  EXPECT_FALSE(kills.any(3));
  EXPECT_TRUE(kills.any(4));
  auto pass = [&](std::chrono::seconds time, std::uint64_t count) {
    for (auto passed = 0s; passed < time; passed += 2s) kills.counted(count, now += 2s);
  };
  pass(1h, 3);
  EXPECT_TRUE(kills.any(4));
  pass(RecentMemoryKills::kWindow, 4);
  EXPECT_TRUE(kills.any(4)) << "whoever ends because of it may take so long";
  pass(2 * RecentMemoryKills::kWindow, 4);
  EXPECT_FALSE(kills.any(4)) << "a stranger's death, a while ago";
  EXPECT_TRUE(kills.any(5));
  EXPECT_FALSE(kills.any(std::nullopt));
  kills.begin(std::nullopt, now);
  EXPECT_FALSE(kills.any(5)) << "nobody counted at the launch";
}

// On the host itself, and in a container that has no namespace of its own for groups.
TEST(MemoryKills, TheFirstVersionsGroupLiesBelowItsMount) {
  constexpr const char* kHost =
      "31 23 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755\n"
      "33 31 0:30 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
      "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
      "41 31 0:38 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw\n";
  EXPECT_EQ(cgroup_v1_folder(kHost, "4:memory:/user/x\n2:cpu,cpuacct:/y\n0::/\n", "memory"),
            "/sys/fs/cgroup/memory/user/x");
  EXPECT_EQ(cgroup_v1_folder(kHost, "4:memory:/user/x\n2:cpu,cpuacct:/y\n0::/\n", "cpuacct"),
            "/sys/fs/cgroup/cpu,cpuacct/y");
  EXPECT_EQ(cgroup_v1_folder("35 31 0:32 /docker/abc /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
                             "4:memory:/docker/abc\n", "memory"),
            "/sys/fs/cgroup/memory");
}

TEST(MemoryKills, InANamespaceOfItsOwnTheGroupIsTheRoot) {
  EXPECT_EQ(cgroup_v1_folder("35 31 0:32 / /sys/fs/cgroup/memory ro - cgroup cgroup rw,memory\n",
                             "4:memory:/\n", "memory"),
            "/sys/fs/cgroup/memory");
}

TEST(MemoryKills, ThereIsNoGroupWithoutMembershipOrMount) {
  constexpr const char* kMount = "35 31 0:32 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n";
  EXPECT_EQ(cgroup_v1_folder(kMount, "0::/x\n", "memory"), std::nullopt);
  EXPECT_EQ(cgroup_v1_folder("", "4:memory:/x\n", "memory"), std::nullopt);
  EXPECT_EQ(cgroup_v1_folder(kMount, "4:memoryhog:/x\n", "memory"), std::nullopt);
  EXPECT_EQ(
      cgroup_v1_folder("35 31 0:32 / /cg rw - cgroup cgroup rw,name=memory\n", "4:memory:/\n", "memory"),
      std::nullopt);
  EXPECT_EQ(cgroup_v1_folder("garbage\n - \n", "\n:\n::\n", "memory"), std::nullopt);
}

// On whatever machine this runs: where there is a counter it is read, and elsewhere nothing fails.
TEST(MemoryKills, OurOwnGroupCountsOrThereIsNone) {
  const std::string group = own_memory_group();
  if (group.empty()) GTEST_SKIP() << "no counter here";
  EXPECT_TRUE(memory_kills(group)) << group;
}

}  // namespace
}  // namespace cppworker
