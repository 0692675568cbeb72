#include "supervisor/process_runner.hpp"

#include <dirent.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cstring>
#include <filesystem>
#include <fstream>
#include <optional>

#include "common/text.hpp"
#include "common/unique_fd.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/process_launcher.hpp"
#include "supervisor/process_table.hpp"
#include "tests/supervisor/process_test.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;
using testing::Not;

// A started child with what it has said so far.
class ProcessRunnerTest : public ProcessTest {
 protected:
  void start(std::vector<std::string> args, ProcessSpec spec = {}) {
    status.reset();
    out.clear();
    err.clear();
    if (spec.name.empty()) spec.name = "model";
    if (spec.program.empty()) spec.program = kChildProgram;
    spec.args = std::move(args);
    auto spawned = runner->spawn(std::move(spec), {.on_output =
                                                       [this](OutputStream stream, std::string_view bytes) {
                                                         (stream == OutputStream::kStdout ? out : err) +=
                                                             bytes;
                                                       },
                                                   .on_exit = [this](ExitStatus ended) { status = ended; }});
    ASSERT_TRUE(spawned) << spawned.error().message;
    child = std::move(*spawned);
  }

  bool ends() {
    return run_until(io, [&] { return status.has_value(); });
  }
  bool says(const std::string& text) {
    return run_until(io, [&] { return out.find(text) != std::string::npos; });
  }
  pid_t pid_after_up() {
    EXPECT_TRUE(says("up ") && says("\n"));
    return std::atoi(out.substr(out.find("up ") + 3).c_str());
  }
  std::string refusal(ProcessSpec spec) {
    spec.name = "model";
    auto spawned = runner->spawn(std::move(spec), {});
    return spawned ? "(started)" : spawned.error().message;
  }

  asio::io_context io;
  std::unique_ptr<ProcessRunner> runner = make_process_runner(io);
  std::unique_ptr<ChildProcess> child;
  std::string out, err;
  std::optional<ExitStatus> status;
};

int open_descriptors() {
  int count = 0;
  DIR* folder = ::opendir("/proc/self/fd");
  while (::readdir(folder) != nullptr) ++count;
  ::closedir(folder);
  return count;
}

bool has_children() {
  return ::waitpid(-1, nullptr, WNOHANG) == 0 || errno != ECHILD;
}

TEST_F(ProcessRunnerTest, ReportsAllExitCodes) {
  for (int code = 0; code < 256; ++code) {
    start({"exit", std::to_string(code)});
    ASSERT_TRUE(ends());
    EXPECT_EQ(*status, (ExitStatus{.kind = ExitStatus::Kind::kCode, .code = code}));
  }
}

TEST_F(ProcessRunnerTest, ReportsSignals) {
  for (const int signal : {SIGTERM, SIGKILL, SIGINT, SIGPIPE, SIGUSR1, SIGSEGV, SIGABRT, SIGQUIT, SIGILL,
                           SIGFPE, SIGBUS, SIGTRAP, SIGSYS, SIGXCPU, SIGRTMIN}) {
    start({"signal", std::to_string(signal)});
    ASSERT_TRUE(ends());
    EXPECT_EQ(status->kind, ExitStatus::Kind::kSignal) << signal;
    EXPECT_EQ(status->signal, signal);
  }
}

TEST_F(ProcessRunnerTest, SaysThatACoreWasDumped) {
  const std::string pattern = read_file("/proc/sys/kernel/core_pattern", 256).value_or("|");
  if (pattern.find_first_of("|/") != std::string::npos) GTEST_SKIP() << "cores go elsewhere: " << pattern;
  const TemporaryFolder folder;
  ProcessSpec spec;
  spec.working_dir = folder.path();
  start({"dump_core"}, std::move(spec));
  ASSERT_TRUE(ends());
  if (status->text() == "exit code 77") GTEST_SKIP() << "no core may be dumped here";
  EXPECT_EQ(status->text(), "signal 6 (SIGABRT), core dumped");
}

TEST_F(ProcessRunnerTest, HandsOverAllOutputBeforeTheExit) {
  start({"print", "20000"});
  ASSERT_TRUE(ends());
  EXPECT_THAT(out, testing::StartsWith("line 0\nline 1\n"));
  EXPECT_THAT(out, testing::EndsWith("line 19999\n"));
  EXPECT_EQ(std::count(out.begin(), out.end(), '\n'), 20000);
  EXPECT_EQ(std::count(err.begin(), err.end(), '\n'), 200);
}

TEST_F(ProcessRunnerTest, GivesTheChildNothingButWhatItNeeds) {
  // What a careless library leaves open, and what the supervisor ignores and blocks.
  const UniqueFd stray(::open("/dev/null", O_RDONLY));
  const auto before = ::signal(SIGPIPE, SIG_IGN);
  sigset_t blocked, old;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGUSR2);
  ::sigprocmask(SIG_BLOCK, &blocked, &old);
  const TemporaryFolder folder;

  ProcessSpec spec;
  spec.environment = child_environment({"KEPT=1", "MASTER_TOKEN=secret"}, {{"ADDED", "2"}}, "mark");
  spec.working_dir = folder.path();
  start({"describe"}, std::move(spec));
  const bool ended = ends();
  ::signal(SIGPIPE, before);
  ::sigprocmask(SIG_SETMASK, &old, nullptr);

  ASSERT_TRUE(ended);
  EXPECT_EQ(out,
            "fd 0 /dev/null\nfd 1 pipe\nfd 2 pipe\n"
            "not default 0\nmask empty\ndeath signal 9\nleader yes\n"
            "folder " +
                std::filesystem::canonical(folder.path()).string() +
                "\n"
                "env KEPT=1\nenv ADDED=2\nenv CPPWORKER_TREE=mark\n");
}

TEST_F(ProcessRunnerTest, PassesDescriptorsFromThreeOn) {
  int ends_of_pipe[2];
  ASSERT_EQ(::pipe2(ends_of_pipe, O_CLOEXEC), 0);
  const UniqueFd pipe_in(ends_of_pipe[0]), pipe_out(ends_of_pipe[1]);
  const UniqueFd null(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  ProcessSpec spec;
  spec.pass_fds = {pipe_in.get(), null.get(), pipe_in.get()};
  start({"describe"}, std::move(spec));
  ASSERT_TRUE(ends());
  EXPECT_THAT(out, HasSubstr("fd 2 pipe\nfd 3 pipe\nfd 4 /dev/null\nfd 5 pipe\nnot default"));
  EXPECT_NE(::fcntl(null.get(), F_GETFD), -1) << "the caller's own stay open";
}

// The places 3, 4, … may be taken here, by the very descriptors that are to be passed, in another order.
TEST_F(ProcessRunnerTest, PassesDescriptorsWhosePlacesAreTaken) {
  const UniqueFd one(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  const UniqueFd two(::open("/dev/zero", O_RDONLY | O_CLOEXEC));
  ASSERT_LT(one.get(), two.get());
  ProcessSpec spec;
  for (int place = 3; place < two.get(); ++place) spec.pass_fds.push_back(two.get());
  spec.pass_fds.push_back(one.get());
  start({"describe"}, std::move(spec));
  ASSERT_TRUE(ends());
  EXPECT_THAT(out, HasSubstr("fd " + std::to_string(one.get()) + " /dev/zero\n"));
  EXPECT_THAT(out, HasSubstr("fd " + std::to_string(two.get()) + " /dev/null\n"));
}

TEST_F(ProcessRunnerTest, NoticesTheExitWhileAGrandchildHoldsThePipes) {
  start({"leave_grandchild"});
  const pid_t grandchild = pid_after_up();
  ASSERT_TRUE(ends());
  EXPECT_EQ(status->code, 7);
  EXPECT_TRUE(look_at_process(grandchild)) << "it must still be there, or this proves nothing";
  ::kill(grandchild, SIGKILL);
}

TEST_F(ProcessRunnerTest, HearsDescendantsAfterTheExit) {
  start({"leave_printer"});
  const pid_t printer = pid_after_up();
  ASSERT_TRUE(ends());
  ::kill(printer, SIGUSR1);
  EXPECT_TRUE(says("last words"));
  ::kill(printer, SIGKILL);
}

TEST_F(ProcessRunnerTest, SignalsLeaderAndGroup) {
  start({"ignore_term"});
  pid_after_up();
  EXPECT_TRUE(child->signal_leader(SIGTERM));
  EXPECT_TRUE(child->signal_group(SIGKILL));
  ASSERT_TRUE(ends());
  EXPECT_EQ(status->signal, SIGKILL) << "SIGTERM was ignored";
  EXPECT_FALSE(child->signal_leader(SIGTERM)) << "nobody is signalled after the exit";
  EXPECT_FALSE(child->signal_group(SIGKILL));
}

TEST_F(ProcessRunnerTest, OwnsItsChildrenUntilTheirStatusIsTaken) {
  start({"sleep"});
  const pid_t pid = child->pid();
  EXPECT_TRUE(runner->owns(pid));
  EXPECT_FALSE(runner->owns(::getpid()));
  child->signal_group(SIGKILL);
  ASSERT_TRUE(ends());
  EXPECT_FALSE(runner->owns(pid));
}

TEST_F(ProcessRunnerTest, DestroyingTheChildEndsItQuietly) {
  start({"ignore_term"});
  const pid_t pid = pid_after_up();
  child.reset();
  EXPECT_TRUE(run_until(io, [&] { return !runner->owns(pid); }));
  EXPECT_FALSE(look_at_process(pid)) << "not even a zombie is left";
  EXPECT_FALSE(status) << "no callback after the owner is gone";
}

TEST_F(ProcessRunnerTest, ChildMayBeDestroyedInItsOwnCallback) {
  std::unique_ptr<ChildProcess> own;
  bool called = false;
  ProcessSpec spec{.name = "model", .program = kChildProgram, .args = {"print", "1000"}};
  auto spawned = runner->spawn(std::move(spec), {.on_output =
                                                     [&](OutputStream, std::string_view) {
                                                       own.reset();
                                                       called = true;
                                                     },
                                                 .on_exit = [](ExitStatus) { FAIL(); }});
  ASSERT_TRUE(spawned);
  own = std::move(*spawned);
  const pid_t pid = own->pid();
  EXPECT_TRUE(run_until(io, [&] { return !runner->owns(pid); }));
  EXPECT_TRUE(called);
}

TEST_F(ProcessRunnerTest, SaysWhyAProgramCannotStart) {
  const TemporaryFolder folder;
  const auto script = [&](const char* name, const char* text, mode_t mode) {
    std::ofstream(folder / name) << text;
    ::chmod((folder / name).c_str(), mode);
    return folder / name;
  };
  EXPECT_THAT(refusal({.program = folder / "none"}),
              testing::AllOf(HasSubstr("cannot start the model: cannot start " + (folder / "none")),
                             HasSubstr("No such file or directory (is the file there")));
  EXPECT_THAT(refusal({.program = script("no_x", "#!/bin/sh\n", 0644)}),
              HasSubstr("Permission denied (chmod +x"));
  EXPECT_THAT(refusal({.program = script("no_shebang", "echo hello\n", 0755)}),
              HasSubstr("a first line such as"));
  EXPECT_THAT(refusal({.program = script("no_interpreter", "#!/nowhere/sh\n", 0755)}),
              HasSubstr("first line names"));
  EXPECT_THAT(refusal({.program = kChildProgram, .working_dir = folder / "none"}),
              HasSubstr("cannot enter its folder"));
  EXPECT_FALSE(has_children()) << "a failed start leaves no zombie";
}

// In a process of its own, as a user whose limit is spent: root has none.
TEST_F(ProcessRunnerTest, SaysThatNoProcessCanBeMade) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_NPROC, &none);
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 && ::setresuid(kNobody, kNobody, kNobody) != 0) ::_exit(77);
    asio::io_context own;
    const auto own_runner = make_process_runner(own);
    const auto spawned = own_runner->spawn({.name = "model", .program = kChildProgram}, {});
    const bool said = !spawned && spawned.error().message.starts_with("cannot start the model: ") &&
                      spawned.error().message.find("Resource temporarily unavailable") != std::string::npos;
    ::_exit(said ? 0 : 1);
  }
  int ended = -1;
  ASSERT_EQ(::waitpid(pid, &ended, 0), pid);
  if (WIFEXITED(ended) && WEXITSTATUS(ended) == 77) GTEST_SKIP() << "cannot become another user";
  EXPECT_EQ(ExitStatus::from_wait_status(ended).text(), "exit code 0");
}

TEST_F(ProcessRunnerTest, LeaksNothingInAThousandCycles) {
  start({"exit", "0"});
  ASSERT_TRUE(ends());
  child.reset();
  io.poll();
  const int before = open_descriptors();
  for (int i = 0; i < 1000; ++i) {
    start({"exit", std::to_string(i % 3)});
    ASSERT_TRUE(ends());
    ASSERT_EQ(status->code, i % 3) << "cycle " << i;
    child.reset();
  }
  io.restart();
  io.poll();
  EXPECT_EQ(open_descriptors(), before);
  EXPECT_FALSE(has_children());
}

// The program lies on a file system that doesn't answer: here somebody holds a lease on it, for whose end the
// kernel makes whoever opens it wait.
TEST_F(ProcessRunnerTest, GivesUpOnAProgramThatIsNotExecutedInTime) {
  const TemporaryFolder folder;
  LaunchOrder order;
  order.program = folder / "program";
  order.exec_limit = std::chrono::milliseconds(50);
  std::filesystem::copy_file(kChildProgram, order.program);
  const UniqueFd held(::open(order.program.c_str(), O_RDONLY | O_CLOEXEC));
  ::signal(SIGIO, SIG_IGN);  // the kernel's request to give the lease back
  if (::fcntl(held.get(), F_SETLEASE, F_WRLCK) != 0) GTEST_SKIP() << "no leases here: " << ::strerror(errno);
  const auto launched = launch_process(order);
  ASSERT_FALSE(launched);
  EXPECT_THAT(launched.error().message, HasSubstr("it was not executed within 50 ms"));
  ::fcntl(held.get(), F_SETLEASE, F_UNLCK);
  ::signal(SIGIO, SIG_DFL);
}

TEST_F(ProcessRunnerTest, LoopThatGoesFirstTakesItsChildrenAlong) {
  pid_t pid = 0;
  {
    asio::io_context short_lived;
    auto own_runner = make_process_runner(short_lived);
    auto spawned =
        own_runner->spawn({.name = "model", .program = kChildProgram, .args = {"ignore_term"}}, {});
    ASSERT_TRUE(spawned);
    pid = (*spawned)->pid();
    spawned->reset();
  }
  EXPECT_EQ(::waitpid(pid, nullptr, 0), pid) << "killed, and waiting for whoever asks";
}

}  // namespace
}  // namespace cppworker
