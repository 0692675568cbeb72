#include "supervisor/orphan_reaper.hpp"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/process_runner.hpp"
#include "supervisor/process_table.hpp"
#include "tests/supervisor/process_test.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

int zombies() {
  int count = 0;
  for (const ProcessInfo& process : list_processes(Zombies::kInclude).value())
    if (process.parent == ::getpid() && process.state == 'Z') ++count;
  return count;
}

class OrphanReaperTest : public ProcessTest {
 protected:
  OrphanReaperTest() { EXPECT_TRUE(become_subreaper()); }

  std::unique_ptr<ChildProcess> start(std::vector<std::string> args) {
    auto spawned =
        runner->spawn({.name = "model", .program = kChildProgram, .args = std::move(args)},
                      {.on_output = {}, .on_exit = [this](ExitStatus status) { ended.push_back(status); }});
    EXPECT_TRUE(spawned);
    return std::move(*spawned);
  }

  // Leaves a managed child that has ended, its waiter not having run yet, and behind it an unmanaged one,
  // which stands for an orphan.
  void end_before_an_orphan(ChildProcess& managed) {
    managed.signal_leader(SIGKILL);
    siginfo_t info;
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(managed.pid()), &info, WEXITED | WNOWAIT), 0);
    const pid_t unmanaged = ::fork();
    if (unmanaged == 0) ::_exit(0);
    ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(unmanaged), &info, WEXITED | WNOWAIT), 0);
  }

  asio::io_context io;
  std::unique_ptr<ProcessRunner> runner = make_process_runner(io);
  OrphanReaper reaper{io, [this](pid_t pid) { return runner->owns(pid); }};
  std::vector<ExitStatus> ended;
};

TEST_F(OrphanReaperTest, ReapsAdoptedZombies) {
  reaper.start();
  const auto child = start({"make_orphans", "20"});
  EXPECT_TRUE(run_until(io, [&] { return reaper.reaped() == 20; })) << reaper.reaped();
  EXPECT_EQ(zombies(), 0);
  EXPECT_TRUE(ended.empty());
}

// Without it they would stay: or the test above proves nothing.
TEST_F(OrphanReaperTest, ZombiesStayWithoutIt) {
  const auto child = start({"make_orphans", "5"});
  EXPECT_TRUE(run_until(io, [&] { return zombies() == 5; }));
  EXPECT_EQ(reaper.reap(), 5u);
  EXPECT_EQ(zombies(), 0);
}

TEST_F(OrphanReaperTest, TakesNoStatusOfAManagedChild) {
  reaper.start();
  constexpr int kRounds = 40;
  std::vector<std::unique_ptr<ChildProcess>> children;
  for (int i = 0; i < kRounds; ++i) children.push_back(start({"exit", "5"}));
  const auto orphans = start({"make_orphans", "10"});
  EXPECT_TRUE(run_until(io, [&] { return ended.size() == kRounds && reaper.reaped() == 10; }));
  for (const ExitStatus& status : ended) EXPECT_EQ(status.text(), "exit code 5");
}

// The kernel shows ended children one at a time: one whose waiter hasn't run yet must not hide the orphans.
TEST_F(OrphanReaperTest, ReapsBehindAManagedZombie) {
  const auto managed = start({"sleep"});
  ASSERT_NO_FATAL_FAILURE(end_before_an_orphan(*managed));
  EXPECT_EQ(reaper.reap(), 1u);
  EXPECT_EQ(zombies(), 1) << "the managed one is left to its waiter";
  EXPECT_TRUE(run_until(io, [&] { return ended.size() == 1; }));
  EXPECT_EQ(ended[0].text(), "signal 9 (SIGKILL)");
}

// A worker whose connections have used up its descriptors can't look into /proc for a while.
TEST_F(OrphanReaperTest, TriesAgainWhenItCouldNotLook) {
  reaper.start();
  const auto managed = start({"sleep"});
  ASSERT_NO_FATAL_FAILURE(end_before_an_orphan(*managed));
  {
    const NoDescriptors want;
    EXPECT_EQ(reaper.reap(), 0u);
  }
  EXPECT_TRUE(run_until(io, [&] { return ended.size() == 1 && reaper.reaped() == 1; }));
}

TEST_F(OrphanReaperTest, TakesWhatEndedBeforeItStarted) {
  const pid_t unmanaged = ::fork();
  if (unmanaged == 0) ::_exit(0);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(unmanaged), &info, WEXITED | WNOWAIT), 0);
  reaper.start();
  EXPECT_EQ(reaper.reaped(), 1u);
}

}  // namespace
}  // namespace cppworker
