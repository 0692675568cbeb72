// A Service over processes that the test plays.
#pragma once

#include <gmock/gmock.h>

#include <optional>
#include <string>
#include <vector>

#include "supervisor/service.hpp"
#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/fake_process_runner.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {

// With the policy's own times: the clock is moved.
class ServiceFixture : public testing::Test {
 protected:
  void make(ServicePolicy policy = {}) {
    ServiceHooks hooks;
    hooks.make_spec = [this](const std::string& mark) -> Result<ProcessSpec> {
      marks.push_back(mark);
      if (spec_error) return fail(*spec_error);
      return ProcessSpec{.name = "model", .program = "/bin/model"};
    };
    hooks.on_output = [this](OutputStream stream, std::string_view bytes) {
      output += (stream == OutputStream::kStdout ? "out:" : "err:") + std::string(bytes);
    };
    hooks.on_launched = [this] { calls.push_back("launched"); };
    hooks.on_ready = [this] { calls.push_back("ready"); };
    hooks.on_not_ready = [this] {
      calls.push_back("not ready, signals so far: " + std::to_string(processes.last().leader_signals.size()));
    };
    hooks.start_measuring = [this] { calls.push_back("measure"); };
    hooks.on_gone = [this](std::uint64_t launch) { calls.push_back("gone " + std::to_string(launch)); };
    hooks.on_give_up = [this] { calls.push_back("given up: " + service->last_error()); };
    hooks.programs = programs;
    hooks.memory_group = memory_group;
    hooks.sweep = sweep;
    hooks.hook_variables = {{"SERVER_PORT", "5001"}};
    hooks.before_launch = [this]() -> Result<void> {
      if (port_error) return fail(*port_error);
      return {};
    };
    hooks.on_failure = [this](PostMortem& made) {
      ++noticed;
      made.in_flight.resize(1);
    };
    hooks.on_failed = [this](PostMortem made) { left.push_back(std::move(made)); };
    hooks.on_change = [this] { phases.emplace_back(name_of(service->state().phase)); };
    service.emplace(io, processes, "model", std::move(policy), std::move(hooks));
  }

  void post(ServiceEventKind kind) {
    service->post(kind);
    settle();
  }
  // Runs what is at hand, and what that brings about.
  void settle() {
    io.restart();
    io.poll();
  }
  void skip(std::chrono::milliseconds duration) { clock.skip(io, duration); }
  bool reaches(ServicePhase phase) {
    return run_until(io, [&] { return service->state().phase == phase; });
  }

  void launch() { post(ServiceEventKind::kWantUp); }
  void become_ready() {
    launch();
    post(ServiceEventKind::kSeenReady);
    ASSERT_EQ(service->state().phase, ServicePhase::kReady);
  }
  void crash(int code = 1) {
    processes.exit_with_code(code);
    ASSERT_TRUE(run_until(io, [&] { return service->state().phase != ServicePhase::kSweeping; }));
  }

  MovableClock clock;
  asio::io_context io;
  FakeProcessRunner processes;
  std::optional<std::string> spec_error;
  HooksDefinition programs;
  std::string memory_group;
  SweepTree sweep = sweep_tree;
  std::optional<std::string> port_error;
  std::vector<PostMortem> left;
  int noticed = 0;
  std::vector<std::string> marks, calls, phases;
  std::string output;
  std::optional<Service> service;
};

}  // namespace cppworker
