// A ProcessRunner without processes: remembers what it was asked, and lets the test play the child.
#pragma once

#include <fcntl.h>

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "common/unique_fd.hpp"
#include "supervisor/process_runner.hpp"

namespace cppworker {

class FakeProcessRunner : public ProcessRunner {
 public:
  struct Launch {
    ProcessSpec spec;
    ProcessCallbacks callbacks;
    pid_t pid = 0;
    bool running = true;
    bool destroyed = false;
    std::vector<int> leader_signals, group_signals;
    std::vector<UniqueFd> fds;  // as the child has them: copies of pass_fds

    std::string variable(const std::string& name) const {
      for (const std::string& entry : spec.environment)
        if (entry.starts_with(name + "=")) return entry.substr(name.size() + 1);
      return {};
    }
  };

  // The next spawns fail with this, until it is reset.
  std::optional<std::string> spawn_error;
  std::function<void()> before_spawn;

  // What the next children do at once.
  std::function<void()> at_once;

  Result<std::unique_ptr<ChildProcess>> spawn(ProcessSpec spec, ProcessCallbacks callbacks) override {
    if (before_spawn) before_spawn();
    if (spawn_error) return fail(*spawn_error);
    launches_.push_back(std::make_shared<Launch>());
    Launch& launch = *launches_.back();
    launch.spec = std::move(spec);
    launch.callbacks = std::move(callbacks);
    launch.pid = next_pid_++;
    if (at_once) at_once();
    for (const int fd : launch.spec.pass_fds) launch.fds.emplace_back(::fcntl(fd, F_DUPFD_CLOEXEC, 0));
    return std::unique_ptr<ChildProcess>(std::make_unique<Child>(launches_.back()));
  }

  bool owns(pid_t pid) const override {
    for (const auto& launch : launches_)
      if (launch->pid == pid && launch->running) return true;
    return false;
  }

  std::size_t launches() const { return launches_.size(); }
  Launch& launch(std::size_t number) { return *launches_.at(number); }
  Launch& last() { return *launches_.back(); }

  // The last child prints, or ends.
  void print(std::string_view bytes, OutputStream stream = OutputStream::kStdout) {
    const auto launch = launches_.back();
    if (!launch->destroyed && launch->callbacks.on_output) launch->callbacks.on_output(stream, bytes);
  }
  void exit(ExitStatus status) {
    const auto launch = launches_.back();
    if (!std::exchange(launch->running, false) || launch->destroyed) return;
    if (launch->callbacks.on_exit) launch->callbacks.on_exit(status);
  }
  void exit_with_code(int code) { exit({.kind = ExitStatus::Kind::kCode, .code = code}); }
  void exit_by_signal(int signal) { exit({.kind = ExitStatus::Kind::kSignal, .signal = signal}); }

 private:
  class Child : public ChildProcess {
   public:
    explicit Child(std::shared_ptr<Launch> launch) : launch_(std::move(launch)) {}
    ~Child() override {
      launch_->destroyed = true;
      launch_->running = false;
    }
    pid_t pid() const override { return launch_->pid; }
    bool signal_leader(int signal) override { return note(launch_->leader_signals, signal); }
    bool signal_group(int signal) override { return note(launch_->group_signals, signal); }

   private:
    bool note(std::vector<int>& signals, int signal) {
      if (launch_->running) signals.push_back(signal);
      return launch_->running;
    }
    std::shared_ptr<Launch> launch_;
  };

  std::vector<std::shared_ptr<Launch>> launches_;
  // Above the kernel's highest number: the sweep of a launch must not meet a real process.
  pid_t next_pid_ = 1 << 23;
};

}  // namespace cppworker
