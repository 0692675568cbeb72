// What the process is allowed that parses strangers' bytes, as the kernel sees it (what it has open is in
// descriptors_test.cpp); and that a worker which lets everybody in says so.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

// A row of /proc/<pid>/status or limits: its words behind the name.
std::vector<std::string> row(pid_t pid, const std::string& file, const std::string& name) {
  std::ifstream in("/proc/" + std::to_string(pid) + "/" + file);
  for (std::string line; std::getline(in, line);) {
    if (!line.starts_with(name)) continue;
    std::istringstream words(line.substr(name.size()));
    std::vector<std::string> found;
    for (std::string word; words >> word;) found.push_back(word);
    return found;
  }
  return {"no row " + name};
}

TEST(ProxyPrivileges, IsNobodyWithoutAWayBack) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root has rights to give up";
  Autoscaler autoscaler;
  Worker worker(autoscaler, "tgi");
  const pid_t proxy = worker.status()["proxy"]["pid"];
  ASSERT_GT(proxy, 0) << worker.process().output();

  const passwd* nobody = ::getpwnam("nobody");
  ASSERT_NE(nobody, nullptr);
  const std::string uid = std::to_string(nobody->pw_uid), gid = std::to_string(nobody->pw_gid);
  EXPECT_EQ(row(proxy, "status", "Uid:"), std::vector<std::string>(4, uid)) << "also saved and file system's";
  EXPECT_EQ(row(proxy, "status", "Gid:"), std::vector<std::string>(4, gid));
  EXPECT_THAT(row(proxy, "status", "Groups:"), IsEmpty());
  EXPECT_EQ(row(proxy, "status", "NoNewPrivs:"), std::vector<std::string>{"1"});
  for (const char* set : {"CapEff:", "CapPrm:", "CapInh:", "CapAmb:"})
    EXPECT_EQ(row(proxy, "status", set), std::vector<std::string>{std::string(16, '0')}) << set;
  EXPECT_EQ(row(proxy, "limits", "Max core file size"), (std::vector<std::string>{"0", "0", "bytes"}));
  // Not dumpable: what is about it belongs to root, and others of its user can't read its memory.
  struct stat about {};
  ASSERT_EQ(::stat(("/proc/" + std::to_string(proxy) + "/mem").c_str(), &about), 0);
  EXPECT_EQ(about.st_uid, 0u);
}

constexpr char kUnsecuredLine[] =
    "warning cppworker: UNSECURED: every request is let in without a signature; for local development only";

TEST(Unsecured, IsSaidInTheLogAndShownByAMetricBeforeAnybodyCalls) {
  Autoscaler autoscaler;
  Worker open(autoscaler, "tgi", {{"UNSECURED", "true"}});
  EXPECT_THAT(open.process().output(), HasSubstr(kUnsecuredLine));
  EXPECT_EQ(open.metric("cppworker_unsecured"), 1);
  EXPECT_EQ(open.metric("cppworker_unsecured_requests_total"), 0);
}

TEST(Unsecured, IsNotClaimedOfAWorkerThatAsksForSignatures) {
  Autoscaler autoscaler;
  Worker closed(autoscaler, "tgi");
  EXPECT_THAT(closed.process().output(), ::testing::Not(HasSubstr("UNSECURED")));
  EXPECT_EQ(closed.metric("cppworker_unsecured"), 0);
}

}  // namespace
}  // namespace cppworker::testing
