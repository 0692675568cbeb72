// The service's runner over real process trees: what service_test.cpp can't show with processes that the test
// plays.
#include <gmock/gmock.h>

#include <sys/resource.h>
#include <unistd.h>

#include <csignal>
#include <optional>

#include "supervisor/environment.hpp"
#include "supervisor/orphan_reaper.hpp"
#include "supervisor/process_table.hpp"
#include "supervisor/service.hpp"
#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/process_test.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Kind = ServiceEventKind;
using Phase = ServicePhase;

class ServiceProcessTest : public ProcessTest {
 protected:
  ServiceProcessTest() {
    become_subreaper();
    reaper.start();
  }

  void launch(std::vector<std::string> args, bool starts_processes) {
    ServiceHooks hooks;
    hooks.make_spec = [args](const std::string& mark) -> Result<ProcessSpec> {
      return ProcessSpec{.name = "model",
                         .program = kChildProgram,
                         .args = args,
                         .environment = child_environment(own_environment(), {}, mark)};
    };
    hooks.on_output = [this](OutputStream, std::string_view bytes) { out += bytes; };
    hooks.starts_processes = starts_processes;
    hooks.on_failed = on_failed;
    service.emplace(io, *processes, "model", policy, std::move(hooks));
    service->post(Kind::kWantUp);
  }
  // The pid that the process behind the latest "up" says it has.
  pid_t up() {
    const bool said =
        run_until(io, [&] { return out.find("up ") != std::string::npos && out.ends_with('\n'); });
    const pid_t pid = said ? std::atoi(out.substr(out.find("up ") + 3).c_str()) : -1;
    out.clear();
    return pid;
  }
  bool reaches(Phase phase) {
    return run_until(io, [&] { return service->state().phase == phase; });
  }

  MovableClock clock;
  asio::io_context io;
  std::unique_ptr<ProcessRunner> processes = make_process_runner(io);
  OrphanReaper reaper{io, [this](pid_t pid) { return processes->owns(pid); }};
  std::string out;
  ServicePolicy policy;
  std::function<void(PostMortem)> on_failed;
  std::optional<Service> service;
};

// No more processes are allowed: as somebody without privileges, since nobody else is held to the limit.
TEST_F(ServiceProcessTest, TriesAgainWhenItCannotFork) {
  policy.backoff_first = 1ms;
  policy.give_up = {{.causes = {FailureCause::kSpawnFailed}, .failures = 3, .window = 1h}};
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t unprivileged = ::fork();
  if (unprivileged == 0) {
    constexpr uid_t kNobody = 65534;
    if (::geteuid() == 0 && (::setgid(kNobody) != 0 || ::setuid(kNobody) != 0)) ::_exit(1);
    rlimit none{};
    ::getrlimit(RLIMIT_NPROC, &none);
    none.rlim_cur = 0;
    ::setrlimit(RLIMIT_NPROC, &none);
    io.notify_fork(asio::io_context::fork_child);
    launch({"sleep"}, false);
    for (int i = 0; i < 1000 && service->state().phase != Phase::kGaveUp; ++i) {
      clock.skip(io, 1s);
      io.restart();
      io.poll();
    }
    const std::string said = std::to_string(service->state().launches) + " " + service->last_error();
    [[maybe_unused]] const ssize_t written = ::write(ends[1], said.data(), said.size());
    ::_exit(0);
  }
  ::close(ends[1]);
  std::string said(1000, ' ');
  said.resize(static_cast<std::size_t>(std::max<ssize_t>(::read(ends[0], said.data(), said.size()), 0)));
  ::close(ends[0]);
  EXPECT_THAT(said, testing::StartsWith("3 the model failed: it could not be started"));
  EXPECT_THAT(said,
              testing::HasSubstr("cannot fork: Resource temporarily unavailable (the limit of processes"));
  EXPECT_THAT(said, testing::HasSubstr("given up after 3 failures"));
}

TEST_F(ServiceProcessTest, StopsAProcessThatObeys) {
  launch({"sleep"}, false);
  const pid_t pid = up();
  EXPECT_EQ(pid, service->pid());
  service->post(Kind::kWantDown);
  EXPECT_TRUE(reaches(Phase::kDown));
  EXPECT_EQ(service->pid(), -1);
}

TEST_F(ServiceProcessTest, KillsAProcessThatIgnoresTheStopSignal) {
  launch({"ignore_term"}, false);
  const pid_t pid = up();
  service->post(Kind::kWantDown);
  ASSERT_TRUE(reaches(Phase::kStopping));
  clock.skip(io, 89s);
  EXPECT_EQ(service->state().phase, Phase::kStopping);
  EXPECT_TRUE(look_at_process(pid));
  clock.skip(io, 2s);
  EXPECT_TRUE(reaches(Phase::kDown));
  EXPECT_FALSE(look_at_process(pid));
}

// The server prints its stacks before it goes (Python's faulthandler): all of it, wherever it fled.
TEST_F(ServiceProcessTest, SaysAbortToTheWholeTreeBeforeItKills) {
  policy.stop = {{.signal = SIGTERM, .wait = 60s},
                 {.signal = SIGABRT, .wait = 5s, .to = StopStep::To::kTree}};
  launch({"setsid_ignoring_term"}, true);
  const pid_t escaped = up();
  service->post(Kind::kWantDown);
  ASSERT_TRUE(reaches(Phase::kStopping));
  clock.skip(io, 61s);
  EXPECT_TRUE(
      run_until(io, [&] { return out.find("aborted " + std::to_string(escaped)) != std::string::npos; }));
  EXPECT_TRUE(run_until(
      io, [&] { return out.find("aborted " + std::to_string(service->pid())) != std::string::npos; }));
  clock.skip(io, 6s);
  EXPECT_TRUE(reaches(Phase::kDown));
}

TEST_F(ServiceProcessTest, KnowsWhatItsTreeUsesOfMemory) {
  PostMortem left;
  on_failed = [&](PostMortem made) { left = std::move(made); };
  launch({"setsid"}, true);
  const pid_t escaped = up();
  clock.skip(io, 3s);
  ::kill(service->pid(), SIGKILL);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_EQ(left.service, "model");
  EXPECT_EQ(left.cause, "exit");
  EXPECT_EQ(left.exit->text(), "signal 9 (SIGKILL)");
  EXPECT_EQ(left.launch, 1u);
  ASSERT_GE(left.memory.size(), 2u);
  EXPECT_GT(left.memory.back().bytes, 100u << 10) << "two processes";
  EXPECT_TRUE(run_until(io, [&] { return !look_at_process(escaped); }));
}

// Two inference servers on one GPU run out of memory, both.
TEST_F(ServiceProcessTest, LaunchesNothingOnTopOfWhatTheLastLaunchLeft) {
  launch({"leave_grandchild"}, false);
  const pid_t left = up();
  ASSERT_TRUE(reaches(Phase::kBackoff));
  const auto after = look_at_process(left);
  EXPECT_TRUE(!after || after->state == 'Z') << "swept before another launch is even planned";
  clock.skip(io, 2s);
  EXPECT_NE(up(), left);
}

// Not even a look at the tree, of which there is one each 2 s, has ever seen it.
TEST_F(ServiceProcessTest, EndsWhoFledWithAnEmptiedEnvironmentAtOnce) {
  for (const char* way : {"bare_child", "double_fork"}) {
    launch({way, "bare"}, false);
    const pid_t fled = up();
    service->post(Kind::kWantDown);
    ASSERT_TRUE(reaches(Phase::kDown));
    EXPECT_TRUE(run_until(io, [&] { return !look_at_process(fled); })) << way;
  }
}

// A shell that became the worker leaves it its jobs, and PID 1 adopts whatever is orphaned in the container.
TEST_F(ServiceProcessTest, SparesChildrenOfOursThatAreNoneOfItsTree) {
  const pid_t job = ::fork();
  if (job == 0) {
    ::setpgid(0, 0);
    while (true) ::pause();
  }
  launch({"setsid"}, true);
  const pid_t escaped = up();
  // Adopted by us while the service runs, as the escapee will be.
  int ends[2];
  ASSERT_EQ(::pipe(ends), 0);
  const pid_t middle = ::fork();
  if (middle == 0) {
    const pid_t orphan = ::fork();
    if (orphan == 0) {
      ::setsid();
      while (true) ::pause();
    }
    [[maybe_unused]] const ssize_t told = ::write(ends[1], &orphan, sizeof orphan);
    ::_exit(0);
  }
  pid_t orphan = -1;
  ASSERT_EQ(::read(ends[0], &orphan, sizeof orphan), static_cast<ssize_t>(sizeof orphan));
  ::close(ends[0]);
  ::close(ends[1]);
  ASSERT_TRUE(run_until(io, [&] {
    const auto process = look_at_process(orphan);
    return process && process->parent == ::getpid();
  }));
  clock.skip(io, 5s);
  service->post(Kind::kWantDown);
  ASSERT_TRUE(reaches(Phase::kDown));
  EXPECT_TRUE(run_until(io, [&] { return !look_at_process(escaped); }));
  for (const pid_t innocent : {job, orphan}) {
    const auto process = look_at_process(innocent);
    EXPECT_TRUE(process && process->state != 'Z');
  }
}

}  // namespace
}  // namespace cppworker
