// What the processes of a worker have open: nothing that they don't need. A listening socket in the model
// would keep the port when all else is gone, the lock in it would refuse the next worker, and the proxy,
// which parses strangers' bytes, could read whatever it had inherited.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>
#include <map>

#include "common/text.hpp"
#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using ::testing::AnyOf;
using ::testing::EndsWith;
using ::testing::Eq;
using ::testing::StartsWith;

// Number and target: "/dev/null", "pipe:[123]", "socket:[456]", "anon_inode:[eventpoll]".
std::map<int, std::string> descriptors_of(pid_t pid) {
  std::map<int, std::string> found;
  std::error_code ignored;
  for (const auto& entry :
       std::filesystem::directory_iterator("/proc/" + std::to_string(pid) + "/fd", ignored))
    found[std::atoi(entry.path().filename().c_str())] = std::filesystem::read_symlink(entry, ignored);
  return found;
}

std::string program_of(pid_t pid) {
  std::error_code ignored;
  return std::filesystem::read_symlink("/proc/" + std::to_string(pid) + "/exe", ignored).filename();
}

TEST(Descriptors, AModelHasItsThreeStreams) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  ASSERT_FALSE(
      worker.wait_for_status([](const auto& seen) { return seen["model"]["state"] == "ready"; }).is_null())
      << worker.process().output();
  const pid_t pid = worker.status()["model"]["pid"];
  ASSERT_TRUE(eventually([&] { return program_of(pid) == "sleep"; })) << program_of(pid);
  const auto open = descriptors_of(pid);
  ASSERT_EQ(open.size(), 3u) << ::testing::PrintToString(open);
  EXPECT_EQ(open.at(0), "/dev/null");
  EXPECT_THAT(open.at(1), StartsWith("pipe:"));
  EXPECT_THAT(open.at(2), StartsWith("pipe:"));
}

TEST(Descriptors, AProxyHasItsSocketsTheLedgerAndItsOwnLoops) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  const pid_t pid = worker.status()["proxy"]["pid"];
  ASSERT_EQ(get(worker.port(), "/ping").status, 200);
  // The connection of the line above is closed at some time.
  const auto sockets = [&] {
    int count = 0;
    for (const auto& [fd, target] : descriptors_of(pid)) count += target.starts_with("socket:");
    return count;
  };
  EXPECT_TRUE(eventually([&] { return sockets() == 3; })) << "listener, control, the sessions' listener";
  const auto open = descriptors_of(pid);
  for (int fd : {3, 4, 5}) EXPECT_THAT(open.at(fd), StartsWith("socket:")) << fd;
  const auto ours = descriptors_of(worker.process().pid());
  const auto is_ours = [&](const std::string& target) {
    return std::any_of(ours.begin(), ours.end(), [&](const auto& one) { return one.second == target; });
  };
  for (const auto& [fd, target] : open) {
    if (fd <= 2) {
      EXPECT_THAT(target, AnyOf(Eq("/dev/null"), Eq(ours.at(fd)))) << "it logs where we do";
    } else if (fd > 5) {
      EXPECT_THAT(target, AnyOf(StartsWith("pipe:"), StartsWith("anon_inode:"), EndsWith("/run/ledger")))
          << fd;
      // Its own signals come by a pipe.
      EXPECT_FALSE(target.starts_with("pipe:") && is_ours(target)) << fd << " is the supervisor's";
    }
  }
}

}  // namespace
}  // namespace cppworker::testing
