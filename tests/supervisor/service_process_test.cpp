// The service's runner over real process trees: what service_test.cpp can't show with processes that the test
// plays.
#include <gmock/gmock.h>

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
    service.emplace(io, *processes, "model", ServicePolicy{}, SIGTERM, std::move(hooks));
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
  std::optional<Service> service;
};

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

TEST_F(ServiceProcessTest, SpendsNoLookOnAServiceThatStartsNoProcesses) {
  launch({"bare_child"}, false);
  const pid_t fled = up();
  clock.skip(io, 3s);
  service->post(Kind::kWantDown);
  ASSERT_TRUE(reaches(Phase::kDown));
  EXPECT_TRUE(look_at_process(fled));
}

}  // namespace
}  // namespace cppworker
