#include "supervisor/process_tree.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>

#include "common/text.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/launch_cgroup.hpp"
#include "supervisor/limit_mark.hpp"
#include "supervisor/orphan_reaper.hpp"
#include "supervisor/process_runner.hpp"
#include "tests/supervisor/process_test.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::Contains;
using testing::IsEmpty;
using testing::Not;

// Real trees, under a process that adopts their orphans as the supervisor does.
class ProcessTreeTest : public ProcessTest {
 protected:
  ProcessTreeTest() {
    become_subreaper();
    reaper.start();
  }

  void start(std::vector<std::string> args) {
    tree.mark = mark.empty() ? make_tree_mark() : mark;
    ProcessSpec spec{.name = "model",
                     .program = program,
                     .args = std::move(args),
                     .environment = child_environment(own_environment(), {}, tree.mark),
                     .cgroup = cgroup};
    auto spawned = runner->spawn(std::move(spec),
                                 {.on_output = [this](OutputStream, std::string_view bytes) { out += bytes; },
                                  .on_exit = [this](ExitStatus) { exited = true; }});
    ASSERT_TRUE(spawned) << spawned.error().message;
    child = std::move(*spawned);
    tree.leader = child->pid();
    tree.cgroup = cgroup;
  }

  // The pid that the process behind "up" says it has.
  pid_t up() {
    const bool said =
        run_until(io, [&] { return out.find("up ") != std::string::npos && out.ends_with('\n'); });
    return said ? std::atoi(out.substr(out.find("up ") + 3).c_str()) : -1;
  }
  void end_leader() {
    child->signal_leader(SIGKILL);
    ASSERT_TRUE(run_until(io, [&] { return exited; }));
  }
  std::vector<pid_t> members() {
    std::vector<pid_t> pids;
    for (const ProcessInfo& process : find_tree(tree, known).value()) pids.push_back(process.pid);
    return pids;
  }
  std::vector<ProcessInfo> sweep() { return run_coroutine(io, sweep_tree(tree, known, 10s)).value(); }
  bool is_gone(pid_t pid) {
    return run_until(io, [&] { return !look_at_process(pid); });
  }

  asio::io_context io;
  std::unique_ptr<ProcessRunner> runner = make_process_runner(io);
  OrphanReaper reaper{io, [this](pid_t pid) { return runner->owns(pid); }};
  std::unique_ptr<ChildProcess> child;
  std::string program = kChildProgram;
  std::string cgroup;  // empty: none
  std::string mark;    // empty: a new one
  ProcessTree tree;
  std::set<ProcessKey> known;
  std::string out;
  bool exited = false;
};

TEST_F(ProcessTreeTest, EndsAGrandchildThatIgnoresTheStopSignal) {
  start({"leave_grandchild"});
  const pid_t grandchild = up();
  ASSERT_TRUE(run_until(io, [&] { return exited; }));
  EXPECT_THAT(members(), testing::ElementsAre(grandchild));
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(grandchild));
}

TEST_F(ProcessTreeTest, FindsWhoMadeASessionOfItsOwn) {
  start({"setsid"});
  const pid_t escaped = up();
  EXPECT_THAT(members(), testing::UnorderedElementsAre(escaped, tree.leader));
  end_leader();
  EXPECT_THAT(members(), testing::ElementsAre(escaped)) << "also without the parent that showed the way";
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(escaped));
}

TEST_F(ProcessTreeTest, FindsWhoForkedTwice) {
  start({"double_fork"});
  const pid_t escaped = up();
  EXPECT_THAT(members(), Contains(escaped));
  end_leader();
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(escaped));
}

// Neither environment nor group nor parent show where it comes from.
TEST_F(ProcessTreeTest, FindsWhoForkedTwiceAndEmptiedItsEnvironment) {
  start({"double_fork", "bare"});
  const pid_t escaped = up();
  end_leader();
  EXPECT_THAT(members(), testing::ElementsAre(escaped)) << "though no look had seen it in the tree";
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(escaped));
}

// An emptied environment, a limit that was lowered, a session of its own: its parent alone shows where it
// comes from, or its parent's parent, as long as that lives.
TEST_F(ProcessTreeTest, FindsChildrenOfMembersThatHaveLostBothMarks) {
  start({"unmarked_family"});
  const pid_t child = up();
  const auto is_unmarked = [&](const ProcessInfo& process) {
    return !environment_value(process.pid, kTreeMarkName) && limit_mark_of_process(process.pid) == 0 &&
           process.group != tree.leader;
  };
  std::vector<pid_t> unmarked;
  ASSERT_TRUE(run_until(io, [&] {
    unmarked.clear();
    for (const ProcessInfo& process : list_processes().value())
      if ((process.pid == child || process.parent == child) && is_unmarked(process))
        unmarked.push_back(process.pid);
    return unmarked.size() == 2;
  }));
  EXPECT_THAT(members(), testing::UnorderedElementsAre(tree.leader, unmarked[0], unmarked[1]));
  // Seen once, they are known for good.
  end_leader();
  EXPECT_THAT(members(), testing::UnorderedElementsAreArray(unmarked));
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(unmarked[0]));
  EXPECT_TRUE(is_gone(unmarked[1]));
}

TEST_F(ProcessTreeTest, KnowsWhomAnEarlierLookHasFound) {
  mark = "not a number, so that no limit carries it";
  start({"double_fork", "bare"});
  const pid_t escaped = up();
  end_leader();
  EXPECT_THAT(members(), Not(Contains(escaped))) << "nothing is left that shows it";
  const auto process = look_at_process(escaped);
  ASSERT_TRUE(process);
  known.insert({escaped, process->start_time});
  EXPECT_THAT(members(), Contains(escaped));
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(escaped));
}

// A shell that became the worker had started it before; or PID 1 adopted it.
TEST_F(ProcessTreeTest, LeavesAnInnocentChildOfOursAlone) {
  const pid_t innocent = ::fork();
  if (innocent == 0) {
    ::setpgid(0, 0);
    while (true) ::pause();
  }
  start({"sleep"});
  up();
  end_leader();
  EXPECT_THAT(sweep(), IsEmpty());
  const auto process = look_at_process(innocent);
  EXPECT_TRUE(process && process->state != 'Z');
  ::kill(innocent, SIGKILL);
  ::waitpid(innocent, nullptr, 0);
}

TEST_F(ProcessTreeTest, EndsALivingLeaderToo) {
  start({"ignore_term"});
  up();
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(run_until(io, [&] { return exited; }));
}

TEST_F(ProcessTreeTest, EndsAForkBomb) {
  start({"bomb", "200"});
  up();
  EXPECT_TRUE(run_until(io, [&] { return members().size() == 401; }));
  end_leader();
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_THAT(members(), IsEmpty());
}

// The kernel's files as the test writes them: what is done with them is the same on every machine.
TEST_F(ProcessTreeTest, TakesForMembersWhomTheControlGroupNames) {
  mark = "not a number, so that no limit carries it";
  start({"double_fork", "bare"});
  const pid_t escaped = up();
  end_leader();
  const TemporaryFolder folder;
  tree.cgroup = folder / "cppworker-test";
  std::filesystem::create_directories(tree.cgroup + "/below");
  std::ofstream(tree.cgroup + "/cgroup.procs") << "";
  std::ofstream(tree.cgroup + "/cgroup.kill") << "";
  EXPECT_THAT(members(), IsEmpty());
  std::ofstream(tree.cgroup + "/below/cgroup.procs") << escaped << "\n";
  EXPECT_THAT(members(), testing::ElementsAre(escaped));
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_EQ(read_file(tree.cgroup + "/cgroup.kill", 10), "1") << "all at once, where the kernel hears it";
  EXPECT_TRUE(is_gone(escaped)) << "and one by one";
}

// With a real one, where the kernel lets us make it.
TEST_F(ProcessTreeTest, EndsWhatHasLeftAllMarksBehindByItsControlGroup) {
  mark = "not a number, so that no limit carries it";
  cgroup = make_launch_cgroup(own_cgroup_folder().value_or("/nowhere"), make_tree_mark());
  if (cgroup.empty()) GTEST_SKIP() << "no control group can be made here";
  start({"double_fork", "bare"});
  const pid_t escaped = up();
  end_leader();
  EXPECT_THAT(cgroup_members(cgroup), Contains(escaped)) << "the launcher has put it there";
  EXPECT_THAT(members(), testing::ElementsAre(escaped));
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(escaped));
  remove_launch_cgroup(cgroup);
  EXPECT_FALSE(std::filesystem::exists(cgroup));
}

TEST_F(ProcessTreeTest, LeavesOtherTreesAlone) {
  start({"sleep"});
  up();
  const ProcessTree first = tree;
  const auto first_child = std::move(child);
  out.clear();
  start({"sleep"});
  up();
  EXPECT_THAT(members(), testing::ElementsAre(tree.leader));
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(look_at_process(first.leader));
  EXPECT_TRUE(first_child->signal_leader(0));
}

// A worker that runs below another's server looks after its own.
TEST_F(ProcessTreeTest, LeavesAChildWithMarksOfItsOwnAlone) {
  start({"marked_child", make_tree_mark()});
  const pid_t other = up();
  EXPECT_THAT(members(), testing::ElementsAre(tree.leader));
  end_leader();  // which would leave it a zombie
  ::kill(other, SIGKILL);
  EXPECT_TRUE(is_gone(other));
}

TEST_F(ProcessTreeTest, LeavesAChildWithAnEnvironmentOfItsOwnAloneWhereLimitsCarryNoMark) {
  mark = "not a number, so that no limit carries it";
  program = "/bin/sh";
  start({"-c", std::string(kTreeMarkName) + "=" + make_tree_mark() + " sleep 100 & echo up $!; wait"});
  const pid_t other = up();
  // Its environment is the shell's until it has become `sleep`.
  ASSERT_TRUE(run_until(io, [&] { return environment_value(other, kTreeMarkName) != tree.mark; }));
  EXPECT_THAT(members(), testing::ElementsAre(tree.leader));
  ::kill(other, SIGKILL);
  EXPECT_TRUE(is_gone(other));
}

// A GPU process that a driver doesn't let go may hold the lock without which nobody reads its environment:
// the reader would hang like `ps`. Here it is a vfork that holds it.
TEST_F(ProcessTreeTest, FindsWhomTheKernelHoldsByItsLimits) {
  start({"held_by_kernel"});
  const pid_t held = up();
  end_leader();
  ASSERT_TRUE(is_held_by_kernel(look_at_process(held).value()));
  EXPECT_THAT(members(), Contains(held));
  EXPECT_THAT(sweep(), IsEmpty());
  EXPECT_TRUE(is_gone(held));
}

TEST_F(ProcessTreeTest, ReadsNoEnvironmentOfOneThatTheKernelHolds) {
  mark = "not a number, so that no limit carries it";
  start({"held_by_kernel"});
  const pid_t held = up();
  end_leader();
  ASSERT_TRUE(is_held_by_kernel(look_at_process(held).value()));
  ASSERT_EQ(environment_value(held, kTreeMarkName), mark) << "a vfork's lets itself be read";
  EXPECT_THAT(members(), Not(Contains(held)));
  ::kill(held, SIGKILL);
}

// A thread's lock is the whole process's.
TEST_F(ProcessTreeTest, KnowsThatTheKernelHoldsAThread) {
  start({"held_thread"});
  const pid_t held = up();
  ASSERT_TRUE(run_until(io, [&] { return look_at_process(held).value().state == 'S'; }));
  EXPECT_TRUE(is_held_by_kernel(look_at_process(held).value()));
  EXPECT_FALSE(is_held_by_kernel(look_at_process(::getpid()).value()));
}

// A server may start thousands of helpers in a run of weeks.
TEST_F(ProcessTreeTest, ForgetsWhoIsGone) {
  start({"sleep"});
  up();
  for (std::uint64_t i = 0; i < 1000; ++i) known.insert({tree.leader, i});
  members();
  EXPECT_THAT(known,
              testing::ElementsAre(testing::Pair(tree.leader, look_at_process(tree.leader)->start_time)));
}

TEST_F(ProcessTreeTest, FailsInsteadOfSayingThatNothingIsLeft) {
  start({"sleep"});
  up();
  known = {{tree.leader, 1}};
  {
    const NoDescriptors want;
    const auto found = find_tree(tree, known);
    ASSERT_FALSE(found);
    EXPECT_EQ(found.error().message, "cannot read /proc: Too many open files");
    EXPECT_FALSE(run_coroutine(io, sweep_tree(tree, known, 20ms)));
  }
  EXPECT_THAT(known, testing::SizeIs(1)) << "what earlier looks found still holds";
  EXPECT_THAT(sweep(), IsEmpty()) << "the next try succeeds";
}

class ReusedNumberTest : public ProcessTreeTest {
 protected:
  // Somebody in a group of the leader's number, who isn't of the tree; "up" with its own number.
  void start_stranger(std::vector<std::string> args) {
    mark = "not a number, so that no limit carries it";
    program = "/usr/bin/env";  // which empties the environment
    args.insert(args.begin(), {"-i", kChildProgram});
    start(std::move(args));
    stranger = up();
    tree.leader_start = look_at_process(stranger).value().start_time;
  }
  pid_t stranger = -1;
};

TEST_F(ReusedNumberTest, TakesNobodyWhoStartedBeforeTheLeader) {
  start_stranger({"sleep"});
  EXPECT_THAT(members(), Contains(stranger)) << "by the group alone";
  ++tree.leader_start;
  known.clear();
  EXPECT_THAT(members(), IsEmpty());
}

TEST_F(ReusedNumberTest, TakesNoGroupWhoseLeaderIsAnotherProcess) {
  start_stranger({"sleep"});
  --tree.leader_start;
  EXPECT_THAT(members(), IsEmpty());
}

// The leader is gone, the number was another group's, whose leader is gone, too.
TEST_F(ReusedNumberTest, TakesNoGroupOfAnotherSession) {
  start_stranger({"double_fork", "bare"});
  end_leader();
  tree.leader = look_at_process(stranger).value().group;
  ASSERT_NE(tree.leader, stranger);
  ASSERT_TRUE(is_gone(tree.leader));
  EXPECT_THAT(members(), IsEmpty());
}

TEST_F(ProcessTreeTest, IsNeverTheSupervisorItself) {
  tree.mark = "none such";
  tree.leader = ::getpgrp();
  EXPECT_THAT(members(), Not(Contains(::getpid())));
}

// As a file may say that a crash has left, or that somebody has written.
TEST_F(ProcessTreeTest, IsNeverTheSupervisorNorPid1WhoeverNamesThem) {
  const TemporaryFolder folder;
  tree.mark = "none such";
  tree.cgroup = folder / "cppworker-test";
  std::filesystem::create_directories(tree.cgroup);
  std::ofstream(tree.cgroup + "/cgroup.procs") << "1\n" << ::getpid() << "\n";
  for (const pid_t pid : {pid_t{1}, ::getpid()}) known.insert({pid, look_at_process(pid)->start_time});
  EXPECT_THAT(members(), IsEmpty());
}

// A pid that was given to another process since must not be hit.
TEST_F(ProcessTreeTest, SignalsNobodyWithAnotherStartTime) {
  start({"sleep"});
  up();
  auto process = look_at_process(tree.leader);
  ASSERT_TRUE(process);
  ProcessInfo earlier = *process;
  --earlier.start_time;
  EXPECT_FALSE(signal_process(earlier, SIGKILL));
  EXPECT_TRUE(look_at_process(tree.leader));
  EXPECT_TRUE(signal_process(*process, SIGKILL));
  EXPECT_TRUE(run_until(io, [&] { return exited; }));
  EXPECT_FALSE(signal_process(*process, SIGKILL));
}

TEST_F(ProcessTreeTest, NamesSurvivorsWhenTheTimeIsOver) {
  start({"sleep"});
  up();
  const auto survivors = run_coroutine(io, sweep_tree(tree, known, 0ms)).value();
  ASSERT_EQ(survivors.size(), 1u);
  EXPECT_EQ(survivors[0].text(), std::to_string(tree.leader) + " (supervisor_chil, state " +
                                     std::string(1, survivors[0].state) + ")");
}

TEST(ProcessTable, ReadsAProcessWithAnAwkwardName) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    // "a) Z (b": parentheses, blanks and what looks like a state.
    [[maybe_unused]] const int set = ::prctl(PR_SET_NAME, "a) Z (b");
    while (true) ::pause();
  }
  asio::io_context io;
  EXPECT_TRUE(run_until(io, [&] {
    const auto process = look_at_process(pid);
    return process && process->comm == "a) Z (b" && process->parent == ::getpid() && process->state == 'S';
  }));
  ::kill(pid, SIGKILL);
  ::waitpid(pid, nullptr, 0);
  EXPECT_FALSE(look_at_process(pid));
}

TEST(ProcessTable, LeavesZombiesOutUnlessAsked) {
  const pid_t pid = ::fork();
  if (pid == 0) ::_exit(0);
  siginfo_t info;
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT), 0);
  const auto has = [&](const std::vector<ProcessInfo>& all) {
    return std::any_of(all.begin(), all.end(), [&](const ProcessInfo& one) { return one.pid == pid; });
  };
  EXPECT_FALSE(has(list_processes().value()));
  EXPECT_TRUE(has(list_processes(Zombies::kInclude).value()));
  ::waitpid(pid, nullptr, 0);
}

TEST(ProcessTable, FindsAVariableByItsWholeName) {
  EXPECT_EQ(environment_value(::getpid(), "PAT"), std::nullopt);
  EXPECT_EQ(environment_value(::getpid(), "PATH").value_or(""), ::getenv("PATH"));
  EXPECT_EQ(environment_value(-1, "PATH"), std::nullopt);
}

}  // namespace
}  // namespace cppworker
