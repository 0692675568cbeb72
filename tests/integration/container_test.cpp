// What a container makes different: the worker is its first process, and its memory has a limit. Skipped
// where the test may make neither.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <fstream>
#include <sstream>

#include "common/text.hpp"
#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

// A worker that stands alone, started by another program.
class ContainedWorker {
 public:
  ContainedWorker(std::vector<std::string> starter, const std::string& script) : backend_(script) {
    nlohmann::json settings = backend_.settings();
    settings.update({{"listen_address", "127.0.0.1"},
                     {"port", 0},
                     {"admin_port", 0},
                     {"server_url", "http://127.0.0.1:1"},
                     {"log_child_lines", true}});
    std::ofstream(folder_.path() + "/cppworker.json") << settings.dump();
    for (const std::string& argument :
         {std::string(CPPWORKER_BIN_DIR) + "/cppworker", std::string("run"), std::string("--config"),
          folder_.path() + "/cppworker.json", std::string("--run-dir"), folder_.path() + "/run"})
      starter.push_back(argument);
    const std::map<std::string, std::string> environment = {
        {"PATH", "/usr/bin:/bin"}, {"BACKEND", backend_.name()}, {"UNSECURED", "true"}};
    process_ = std::make_unique<TestProcess>(std::move(starter), environment);
  }

  TestProcess& process() { return *process_; }

 private:
  BackendFolder backend_;
  TemporaryFolder folder_;
  std::unique_ptr<TestProcess> process_;
};

std::vector<pid_t> children_of(pid_t pid) {
  const std::string number = std::to_string(pid);
  std::istringstream text(
      read_file("/proc/" + number + "/task/" + number + "/children", 1 << 16).value_or(""));
  std::vector<pid_t> found;
  for (pid_t child; text >> child;) found.push_back(child);
  return found;
}

pid_t child_named(pid_t parent, const std::string& name) {
  for (const pid_t child : children_of(parent))
    if (read_file("/proc/" + std::to_string(child) + "/comm", 64).value_or("") == name + "\n") return child;
  return -1;
}

TEST(Container, TheFirstProcessReapsWhatItAdoptsAndTellsItsOwnChildrensEnd) {
  ContainedWorker worker({"/usr/bin/unshare", "--pid", "--fork", "--mount-proc", "--kill-child"},
                         "#!/bin/sh\n"
                         "for i in 1 2 3 4 5; do sh -c 'sleep 0.1 & echo orphan'; done\n"
                         "echo ready\nexec sleep 1000\n");
  TestProcess& outside = worker.process();
  if (!outside.wait_for_line("Serving on ")) {
    if (outside.output().find("unshare: ") != std::string::npos) GTEST_SKIP() << outside.output();
    FAIL() << outside.output();
  }
  ASSERT_EQ(children_of(outside.pid()).size(), 1u);
  const pid_t first = children_of(outside.pid())[0];
  for (int i = 0; i < 5; ++i) ASSERT_TRUE(outside.wait_for_line("orphan")) << outside.output();
  ASSERT_TRUE(outside.wait_for_line("starting -> ready"));
  EXPECT_TRUE(eventually([&] { return children_of(first).size() == 2; })) << "model and proxy";

  const pid_t model = child_named(first, "sleep");
  ASSERT_GT(model, 0);
  ::kill(model, SIGSEGV);
  EXPECT_TRUE(outside.wait_for_line("signal 11 (SIGSEGV)")) << outside.output();
  ::kill(first, SIGTERM);
  EXPECT_EQ(outside.wait_for_exit(), 0) << outside.output();
}

// A control group below the test's own whose processes may have so much memory together; for cgroup v1, where
// nobody has to hand it over.
class MemoryLimit {
 public:
  explicit MemoryLimit(const std::string& bytes) {
    std::istringstream own(read_file("/proc/self/cgroup", 1 << 16).value_or(""));
    for (std::string line; std::getline(own, line);) {
      const std::size_t found = line.find(":memory:");
      if (found == std::string::npos) continue;
      const std::string made = "/sys/fs/cgroup/memory" + line.substr(found + std::string(":memory:").size()) +
                               "/cppworker-test-" + std::to_string(::getpid());
      if (::mkdir(made.c_str(), 0755) != 0) continue;
      folder_ = made;
      std::ofstream(folder_ + "/memory.limit_in_bytes") << bytes << std::flush;
    }
  }
  ~MemoryLimit() {
    // Whoever was in it may still be ending.
    if (!folder_.empty()) eventually([&] { return ::rmdir(folder_.c_str()) == 0; });
  }

  const std::string& folder() const { return folder_; }  // empty: there is none

 private:
  std::string folder_;
};

TEST(Container, AServerThatLacksMemoryIsSaidToHaveLackedIt) {
  const MemoryLimit limit("200M");
  if (limit.folder().empty()) GTEST_SKIP() << "no control group can be made here";
  ContainedWorker worker(
      {"/bin/sh", "-c", "echo $$ > " + limit.folder() + "/cgroup.procs; exec \"$@\"", "sh"},
      "#!/bin/sh\nexec tail /dev/zero\n");
  TestProcess& process = worker.process();
  EXPECT_TRUE(process.wait_for_line("signal 9 (SIGKILL), out of memory")) << process.output();
  process.signal(SIGTERM);
  EXPECT_EQ(process.wait_for_exit(), 0) << process.output();
}

}  // namespace
}  // namespace cppworker::testing
