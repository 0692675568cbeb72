#include "supervisor/service.hpp"

#include <csignal>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "common/logging.hpp"
#include "supervisor/environment.hpp"

namespace cppworker {
namespace {

// Between two looks at the tree of a running service: a process that flees lives in it for longer than that,
// as a rule, and a look costs milliseconds.
constexpr std::chrono::seconds kLookInterval{2};

// One attempt at ending what a dead leader left. SIGKILL works at once except on a process that the kernel
// holds in a driver; those are named, and the state machine tries again.
constexpr std::chrono::seconds kSweepLimit{5};

}  // namespace

Service::Service(asio::io_context& io, ProcessRunner& processes, std::string name, ServicePolicy policy,
                 ServiceHooks hooks)
    : io_(io),
      processes_(processes),
      name_(std::move(name)),
      policy_(std::move(policy)),
      hooks_(std::move(hooks)),
      deadline_(io),
      next_look_(io) {}

void Service::post(ServiceEventKind kind) {
  asio::post(io_, [this, kind] { process({kind}); });
}

void Service::process(ServiceEvent event) {
  event.jitter = std::uniform_real_distribution<double>(-1, 1)(random_);
  ServicePhase before = state_.phase;
  ServiceStep next = step(state_, event, std::chrono::steady_clock::now(), policy_);
  FailureCause cause_before = state_.cause;
  state_ = next.state;
  if (state_.cause != cause_before && state_.cause != FailureCause::kNone) note_failure();
  if (state_.phase != before)
    spdlog::info("{}: {} -> {} ({})", name_, name_of(before), name_of(state_.phase), name_of(event.kind));
  for (const ServiceAction& action : next.actions) perform(action);
  if (state_.phase != before && hooks_.on_change) hooks_.on_change();
}

void Service::note_failure() {
  failures_[std::string(name_of(state_.cause))]++;
  last_error_ = "the " + name_ + " failed: " + std::string(name_of(state_.cause));
  if (state_.cause == FailureCause::kExited && exited_) last_error_ += ": " + last_exit_.text();
  if (!reason_.empty()) last_error_ += ": " + reason_;
  reason_.clear();
  spdlog::warn("{}", last_error_);
}

void Service::perform(const ServiceAction& action) {
  switch (action.kind) {
    case ServiceActionKind::kSpawn:
      return spawn();
    case ServiceActionKind::kStopStep:
      return take_stop_step(action);
    case ServiceActionKind::kSendKill:
      if (child_) {
        child_->signal_group(SIGKILL);
        child_->signal_leader(SIGKILL);
      }
      return;
    case ServiceActionKind::kSweepTree:
      // Contained: a failed look at /proc is a sweep that found survivors, and is tried again.
      asio::co_spawn(io_, sweep(), [this](std::exception_ptr error) {
        if (error) process({ServiceEventKind::kTreeSurvives});
      });
      return;
    case ServiceActionKind::kAnnounceReady:
      last_error_.clear();
      if (hooks_.on_ready) hooks_.on_ready();
      return;
    case ServiceActionKind::kAnnounceNotReady:
      if (hooks_.on_not_ready) hooks_.on_not_ready();
      return;
    case ServiceActionKind::kStartMeasuring:
      if (hooks_.start_measuring) hooks_.start_measuring();
      return;
    case ServiceActionKind::kArmDeadline:
      return arm(action);
    case ServiceActionKind::kDisarmDeadline:
      deadline_.cancel();
      return;
    case ServiceActionKind::kSettleBooks:
      if (hooks_.on_gone) hooks_.on_gone(state_.launches);
      return;
    case ServiceActionKind::kReportSurvivors:
      return report_survivors();
    case ServiceActionKind::kGiveUp:
      return give_up();
  }
}

void Service::take_stop_step(const ServiceAction& action) {
  if (!child_) return;
  const StopStep& step = policy_.stop[action.step];
  if (action.step > 0)
    spdlog::warn("{}: it has not ended within {} s; signal {} follows", name_,
                 std::chrono::duration<double>(policy_.stop[action.step - 1].wait).count(), step.signal);
  switch (step.to) {
    case StopStep::To::kLeader:
      child_->signal_leader(step.signal);
      return;
    case StopStep::To::kGroup:
      child_->signal_group(step.signal);
      return;
    case StopStep::To::kTree:
      try {
        for (const ProcessInfo& member : find_tree(tree(), known_)) signal_process(member, step.signal);
      } catch (const std::system_error& error) {
        spdlog::warn("{}: cannot look at its processes: {}", name_, error.what());
        child_->signal_group(step.signal);
      }
      return;
    case StopStep::To::kHook:
      return;
  }
}

void Service::report_survivors() {
  // A leader that is stuck in the kernel is reported before there was any sweep.
  if (auto leader = look_at_process(leader_); leader && !exited_) survivors_ = {*leader};
  for (const ProcessInfo& survivor : survivors_)
    spdlog::error("{}: cannot end process {}: it withstands SIGKILL; no new launch before it is gone", name_,
                  survivor.text());
}

void Service::give_up() {
  if (state_.phase == ServicePhase::kStuck) {
    std::string named;
    for (const ProcessInfo& survivor : survivors_) named += (named.empty() ? "" : ", ") + survivor.text();
    last_error_ = "the " + name_ + " can't be ended: process " + named + " withstands SIGKILL";
  } else if (const GiveUpRule* rule =
                 broken_rule(state_.recent_failures, std::chrono::steady_clock::now(), policy_.give_up)) {
    last_error_ += "; given up after " + text_of(*rule);
  }
  spdlog::critical("{}", last_error_);
  if (hooks_.on_give_up) hooks_.on_give_up();
}

void Service::spawn() {
  reason_.clear();  // of an earlier launch
  tree_mark_ = make_tree_mark();
  exited_ = false;
  Result<ProcessSpec> spec = hooks_.make_spec(tree_mark_);
  Result<std::unique_ptr<ChildProcess>> child = fail("");
  if (spec) {
    ProcessCallbacks callbacks;
    callbacks.on_output = hooks_.on_output;
    callbacks.on_exit = [this](ExitStatus status) {
      last_exit_ = status;
      exited_ = true;
      spdlog::info("{}: process {} ended: {}", name_, leader_, status.text());
      process({ServiceEventKind::kExited});
    };
    child = processes_.spawn(std::move(*spec), std::move(callbacks));
  } else {
    child = spec.error();
  }
  if (!child) {
    reason_ = child.error().message;
    return post(ServiceEventKind::kSpawnFailed);
  }
  child_ = std::move(*child);
  leader_ = child_->pid();
  known_.clear();
  if (hooks_.starts_processes) look_again();
  spdlog::info("{}: launched as process {}", name_, leader_);
  if (hooks_.on_launched) hooks_.on_launched();
  post(ServiceEventKind::kSpawned);
}

void Service::arm(const ServiceAction& action) {
  deadline_.expires_after(action.after);
  deadline_.async_wait([this, generation = action.generation](boost::system::error_code error) {
    if (!error) process({ServiceEventKind::kDeadline, generation});
  });
}

ProcessTree Service::tree() const {
  ProcessTree tree;
  tree.mark = tree_mark_;
  tree.leader = leader_;
  return tree;
}

// Who flees from the tree and leaves all marks behind is recognized later by having been seen in it.
void Service::look_again() {
  if (!child_ || exited_) return;
  try {
    find_tree(tree(), known_);
  } catch (const std::system_error& error) {
    spdlog::warn("{}: cannot look at its processes: {}", name_, error.what());
  }
  next_look_.expires_after(kLookInterval);
  next_look_.async_wait([this](boost::system::error_code error) {
    if (!error) look_again();
  });
}

Awaitable<> Service::sweep() {
  survivors_ = co_await sweep_tree(tree(), known_, kSweepLimit);
  if (survivors_.empty()) child_.reset();
  process({survivors_.empty() ? ServiceEventKind::kTreeEmpty : ServiceEventKind::kTreeSurvives});
}

}  // namespace cppworker
