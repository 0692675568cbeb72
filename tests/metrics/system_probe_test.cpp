#include "metrics/system_probe.hpp"

#include <gtest/gtest.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <fstream>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

TEST(SystemProbe, ReadsAStatLineWhoseNameHoldsBlanksAndBrackets) {
  auto usage = parse_proc_stat(
      "4711 (evil) R 1) S 1 4711 4711 0 -1 4194560 1211 0 3 0 250 50 7 8 20 0 12 0 99 123456789 300 "
      "18446744073709551615 1 1 0",
      4096, 100);
  ASSERT_TRUE(usage);
  EXPECT_EQ(usage->cpu_seconds, 3.0);
  EXPECT_EQ(usage->threads, 12);
  EXPECT_EQ(usage->resident_bytes, 300u * 4096);
}

TEST(SystemProbe, ShortOrStrangeStatLinesAreNoFigures) {
  EXPECT_FALSE(parse_proc_stat("", 4096, 100));
  EXPECT_FALSE(parse_proc_stat("1 (x) S 1 2 3", 4096, 100));
  EXPECT_FALSE(parse_proc_stat("1 (x) S 1 1 1 0 -1 1 1 0 3 0 abc 50 7 8 20 0 12 0 99 1 300 1", 4096, 100));
}

TEST(SystemProbe, OwnProcessHasMemoryThreadsAndFiles) {
  auto usage = process_usage(::getpid());
  ASSERT_TRUE(usage);
  EXPECT_GT(usage->resident_bytes, 100'000u);
  EXPECT_GE(usage->threads, 1);
  std::int64_t before = usage->open_files;
  std::ifstream one_more("/proc/self/stat");
  EXPECT_EQ(process_usage(::getpid())->open_files, before + 1);
}

TEST(SystemProbe, EndedProcessHasNoFigures) {
  pid_t pid = in_child([] {});
  ASSERT_TRUE(ended_well(status_of(pid)));
  EXPECT_FALSE(process_usage(pid));
}

TEST(SystemProbe, UsedDiskIsBetweenNothingAndItsSize) {
  struct statvfs status {};
  ASSERT_EQ(::statvfs("/", &status), 0);
  double size = static_cast<double>(status.f_blocks) * static_cast<double>(status.f_frsize) / (1 << 30);
  auto used = disk_used_gib("/");
  ASSERT_TRUE(used);
  EXPECT_GE(*used, 0);
  EXPECT_LE(*used, size);
  EXPECT_FALSE(disk_used_gib("/no/such/place"));
}

}  // namespace
}  // namespace cppworker
