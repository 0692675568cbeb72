// A worker beside what withstands SIGKILL: left by an earlier one, or its own model.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <fstream>
#include <stdexcept>

#include "common/text.hpp"
#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// Field of /proc/<pid>/stat behind the name: "S" parent group session.
std::vector<std::string> stat_of(pid_t pid) {
  const std::string text = read_file("/proc/" + std::to_string(pid) + "/stat", 4096).value_or("");
  const std::size_t end = text.rfind(')');
  return end == std::string::npos ? std::vector<std::string>() : split_list(text.substr(end + 1), ' ');
}

// As long as it lives, a process stays as it is, and heeds no SIGKILL.
class Frozen {
 public:
  explicit Frozen(pid_t pid) : pid_(pid) {
    if (::mkdir(folder_.c_str(), 0755) != 0) return;
    std::ofstream(folder_ + "/cgroup.procs") << pid << std::flush;
    std::ofstream(folder_ + "/freezer.state") << "FROZEN" << std::flush;
    frozen_ = eventually([&] { return read_file(folder_ + "/freezer.state", 100) == "FROZEN\n"; });
  }
  ~Frozen() {
    ::kill(pid_, SIGKILL);
    std::ofstream(folder_ + "/freezer.state") << "THAWED" << std::flush;
    eventually([&] { return ::rmdir(folder_.c_str()) == 0 || errno == ENOENT; });
  }
  explicit operator bool() const { return frozen_; }

 private:
  const pid_t pid_;
  const std::string folder_ = "/sys/fs/cgroup/freezer/cppworker-test-" + std::to_string(::getpid());
  bool frozen_ = false;
};

// As a driver does that doesn't come back. Nothing may be launched beside it, and nobody but a person helps.
TEST(Unkillable, AWorkerEndsWithItsOwnCodeWhenWhatAnEarlierOneLeftCannotBeEnded) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\nsetsid sleep 1000 &\necho ready\nexec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  pid_t escaped = -1;
  ASSERT_TRUE(eventually([&] {
    for (const pid_t pid : worker.tree()) {
      const auto stat = stat_of(pid);
      const bool slept = read_file("/proc/" + std::to_string(pid) + "/comm", 100) == "sleep\n";
      if (slept && stat.size() > 3 && stat[3] == std::to_string(pid)) escaped = pid;
    }
    return escaped > 0;
  }));
  const Frozen frozen(escaped);
  if (!frozen)
    GTEST_SKIP() << "only the freezer of cgroup v1 withstands SIGKILL, and there is none to write to";
  worker.process().signal(SIGKILL);
  worker.process().wait_for_exit();
  EXPECT_THROW(worker.start_again(), std::runtime_error);
  EXPECT_EQ(worker.process().wait_for_exit(), 72) << worker.process().output();
  EXPECT_THAT(worker.process().output(), HasSubstr("cannot start: process " + std::to_string(escaped) +
                                                   " (sleep, state D) of a worker before this one withstands "
                                                   "SIGKILL; the machine needs a restart"));
}

TEST(Unkillable, AWorkerSaysInItsLastReportThatItsModelCannotBeEnded) {
  Autoscaler autoscaler;
  BackendFolder backend(
      "#!/bin/sh\necho ready\nexec sleep 1000\n",
      {{"launch", {{"script", "launch.sh"}, {"stop_timeout_s", 1}, {"unkillable_after_s", 2}}}});
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  const json ready =
      worker.wait_for_status([](const json& status) { return status["model"]["state"] == "ready"; });
  ASSERT_FALSE(ready.is_null()) << worker.process().output();
  const pid_t model = ready["model"]["pid"];
  const Frozen frozen(model);
  if (!frozen)
    GTEST_SKIP() << "only the freezer of cgroup v1 withstands SIGKILL, and there is none to write to";
  worker.process().signal(SIGTERM);
  EXPECT_EQ(worker.process().wait_for_exit(), 72) << worker.process().output();
  const std::string named = "process " + std::to_string(model) + " (sleep, state D) withstands SIGKILL";
  EXPECT_THAT(worker.process().output(), HasSubstr(named));
  EXPECT_THAT(autoscaler.reports().back()["error_msg"].get<std::string>(), HasSubstr(named));
}

}  // namespace
}  // namespace cppworker::testing
