#include "supervisor/service.hpp"

#include <spdlog/fmt/fmt.h>

#include <csignal>
#include <utility>

#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>

#include "common/logging.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/launch_cgroup.hpp"

namespace cppworker {
namespace {

// Between two looks at the tree of a running service: a process that flees lives in it for longer than that,
// as a rule, and a look costs milliseconds.
constexpr std::chrono::seconds kLookInterval{2};

// One attempt at ending what a dead leader left. SIGKILL works at once except on a process that the kernel
// holds in a driver; those are named, and the state machine tries again.
constexpr std::chrono::seconds kSweepLimit{5};

bool ends_run(ServicePhase phase) {
  return is_over(phase) || phase == ServicePhase::kBackoff;
}

}  // namespace

Service::Service(asio::io_context& io, ProcessRunner& processes, std::string name, ServicePolicy policy,
                 ServiceHooks hooks)
    : io_(io),
      processes_(processes),
      name_(std::move(name)),
      policy_(std::move(policy)),
      hooks_(std::move(hooks)),
      deadline_(io),
      next_look_(io),
      commands_(io, processes, hooks_.records, hooks_.sweep),
      hook_runner_(commands_, hooks_.hook_variables) {}

void Service::post(ServiceEventKind kind) {
  asio::post(io_, [this, kind] { process({kind}); });
}

void Service::process(ServiceEvent event) {
  if (event.kind == ServiceEventKind::kHurry) {
    hurried_ = true;
    commands_.cancel();
  }
  event.jitter = std::uniform_real_distribution<double>(-1, 1)(random_);
  ServicePhase before = state_.phase;
  if (event.kind == ServiceEventKind::kDeadline && before == ServicePhase::kStopping)
    event.moving = !hooks_.has_served || hooks_.has_served();
  ServiceStep next = step(state_, event, std::chrono::steady_clock::now(), policy_);
  FailureCause cause_before = state_.cause;
  state_ = next.state;
  if (state_.phase != before) since_ = std::chrono::steady_clock::now();
  // Nobody waits for its end any more: who owns this may let go of it.
  if (state_.phase == ServicePhase::kStuck) next_look_.cancel();
  if (state_.cause != cause_before && state_.cause != FailureCause::kNone) note_failure();
  if (state_.phase != before)
    spdlog::info("{}: {} -> {} ({})", name_, name_of(before), name_of(state_.phase), name_of(event.kind));
  for (const ServiceAction& action : next.actions) perform(action);
  // Not the present phase: a sweep that finds nothing has brought the next event about already, in there.
  // A stop that was asked for is no failure, unless there is something that can't be ended; and one during
  // backoff belongs to a run whose end has been told.
  if (next.state.phase != before && ends_run(next.state.phase) && !ends_run(before) &&
      (next.state.cause != FailureCause::kNone || next.state.phase == ServicePhase::kStuck))
    write_post_mortem();
  if (state_.phase != before && hooks_.on_change) hooks_.on_change();
}

void Service::note_failure() {
  failures_[std::string(name_of(state_.cause))]++;
  last_error_ = "the " + name_ + " failed: " + std::string(name_of(state_.cause));
  if (state_.cause == FailureCause::kExited && exited_) last_error_ += ": " + last_exit_.text();
  if (!reason_.empty()) last_error_ += ": " + reason_;
  reason_.clear();
  spdlog::warn("{}", last_error_);
  last_failure_ = ServiceFailure{last_error_, exited_ ? last_exit_.text() : "", state_.launches,
                                 std::chrono::steady_clock::now()};
  post_mortem_ = {};
  if (hooks_.on_failure) hooks_.on_failure(post_mortem_);
}

void Service::write_post_mortem() {
  if (last_failure_) {
    last_failure_->summary = last_error_;
    if (exited_) last_failure_->exit = last_exit_.text();
  }
  if (!hooks_.on_failed) return;
  if (state_.cause == FailureCause::kNone && hooks_.on_failure) hooks_.on_failure(post_mortem_);
  using Seconds = std::chrono::duration<double>;
  const TimePoint now = std::chrono::steady_clock::now();
  PostMortem made = std::move(post_mortem_);
  made.service = name_;
  made.summary = last_error_;
  made.cause = state_.cause == FailureCause::kNone ? "stop" : std::string(key_of(state_.cause));
  if (exited_) made.exit = last_exit_;
  made.launch = state_.launches;
  made.pid = leader_;
  made.ended = std::chrono::system_clock::now();
  made.ran_for_s = Seconds(now - state_.launched_at).count();
  if (state_.was_ready) {
    made.ready_after_s = Seconds(state_.ready_at - state_.launched_at).count();
    made.ready_for_s = Seconds(now - state_.ready_at).count();
  }
  made.memory = memory_.points();
  made.survivors = survivor_names();
  hooks_.on_failed(std::move(made));
}

void Service::perform(const ServiceAction& action) {
  switch (action.kind) {
    case ServiceActionKind::kSpawn:
      return spawn();
    case ServiceActionKind::kStopStep:
      return take_stop_step(action);
    case ServiceActionKind::kSendKill:
      if (!child_) return commands_.cancel();
      child_->signal_group(SIGKILL);
      child_->signal_leader(SIGKILL);
      return;
    case ServiceActionKind::kSweepTree:
      // Contained: a bug in there is a sweep that found survivors, and is tried again.
      asio::co_spawn(io_, sweep(), [this](std::exception_ptr error) {
        if (error) process({ServiceEventKind::kTreeSurvives});
      });
      return;
    case ServiceActionKind::kAnnounceReady:
      last_error_.clear();
      if (hooks_.on_ready) hooks_.on_ready();
      return run_hook("post_ready", hooks_.programs.post_ready, {});
    case ServiceActionKind::kAnnounceNotReady:
      if (hooks_.on_not_ready) hooks_.on_not_ready();
      return;
    case ServiceActionKind::kStartMeasuring:
      if (hooks_.start_measuring) hooks_.start_measuring();
      return;
    case ServiceActionKind::kArmDeadline:
      return arm(action);
    case ServiceActionKind::kDisarmDeadline:
      due_.reset();
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
  if (!child_) return commands_.cancel();  // pre_start still runs
  const StopStep& step = policy_.stop[action.step];
  if (hooks_.has_served) hooks_.has_served();  // what it served before doesn't count
  if (action.step > 0 && policy_.stop[action.step - 1].to != StopStep::To::kHook)
    spdlog::warn("{}: it has not ended; signal {} follows", name_, step.signal);
  switch (step.to) {
    case StopStep::To::kLeader:
      child_->signal_leader(step.signal);
      return;
    case StopStep::To::kGroup:
      child_->signal_group(step.signal);
      return;
    case StopStep::To::kTree:
      return signal_tree(step.signal);
    case StopStep::To::kHook:
      return run_hook("pre_stop", hooks_.programs.pre_stop, [this, generation = action.generation] {
        process({ServiceEventKind::kStopStepOver, generation});
      });
  }
}

void Service::signal_tree(int signal) {
  const Result<std::vector<ProcessInfo>> members = find_tree(tree(), known_);
  if (members)
    for (const ProcessInfo& member : *members) signal_process(member, signal);
  else
    spdlog::warn("{}: cannot look at its processes: {}", name_, members.error().message);
  if (!members) child_->signal_group(signal);
}

HookFacts Service::hook_facts() const {
  HookFacts facts;
  facts.cause = std::string(key_of(state_.cause));
  facts.pid = leader_;
  facts.attempt = state_.launches;
  if (exited_) facts.code = last_exit_.short_text();
  return facts;
}

// A hook that fails is an operator's, and no reason to do anything to the model: it is logged.
void Service::run_hook(const char* name, const std::optional<HookDefinition>& hook,
                       std::function<void()> then) {
  if (!hook) {
    if (then) then();
    return;
  }
  asio::co_spawn(io_, hook_runner_.run(name, *hook, hook_facts()),
                 [this, then = std::move(then)](std::exception_ptr error, Result<void> result) {
                   if (!error && !result) spdlog::warn("{}: {}", name_, result.error().message);
                   if (error) spdlog::error("{}: a hook's end could not be awaited", name_);
                   if (then) then();
                 });
}

void Service::report_survivors() {
  // A leader that is stuck in the kernel is reported before there was any sweep.
  if (auto leader = look_at_process(leader_); leader && !exited_) survivors_ = {*leader};
  for (const std::string& survivor : survivor_names())
    spdlog::error("{}: cannot end process {}: it withstands SIGKILL; no new launch before it is gone", name_,
                  survivor);
}

// By number alone where the system doesn't let us look at it.
std::vector<std::string> Service::survivor_names() const {
  std::vector<std::string> names;
  for (const ProcessInfo& survivor : survivors_) names.push_back(survivor.text());
  if (names.empty() && leader_ > 0 && !exited_ && child_) names.push_back(std::to_string(leader_));
  return names;
}

void Service::give_up() {
  if (state_.phase == ServicePhase::kStuck) {
    std::string named = fmt::format("{}", fmt::join(survivor_names(), ", "));
    if (named.empty()) named = "that can't be seen";
    last_failure_ = ServiceFailure{"", "", state_.launches, std::chrono::steady_clock::now()};
    last_error_ = "the " + name_ + " can't be ended: process " + named + " withstands SIGKILL";
  } else if (const GiveUpRule* rule =
                 broken_rule(state_.recent_failures, std::chrono::steady_clock::now(), policy_.give_up)) {
    last_error_ += "; given up after " + text_of(*rule);
  }
  spdlog::critical("{}", last_error_);
  if (hooks_.on_give_up) hooks_.on_give_up();
}

void Service::spawn() {
  // Nothing of an earlier launch is told of this one, whose hook may fail before there is a process.
  reason_.clear();
  leader_ = -1;
  leader_start_ = 0;
  exited_ = false;
  hurried_ = false;
  post_exit_begun_ = false;
  memory_.clear();
  survivors_.clear();
  if (hooks_.on_begin) hooks_.on_begin();
  if (!hooks_.programs.pre_start) return launch();
  // A bug in there is a launch that failed.
  asio::co_spawn(io_, prepare_launch(), [this](std::exception_ptr error) {
    if (error) spawn_failed("its hook pre_start could not be run");
  });
}

Awaitable<> Service::prepare_launch() {
  Result<void> prepared = co_await hook_runner_.run("pre_start", *hooks_.programs.pre_start, hook_facts());
  if (!commands_.clean()) {
    survivors_ = commands_.survivors();
    reason_ = prepared ? "its hook pre_start has left what can't be ended" : prepared.error().message;
    post(ServiceEventKind::kTreeSurvives);
    co_return;
  }
  // It may have been stopped meanwhile: the event tells the state machine that there is no process to wait
  // for.
  if (!prepared || state_.phase != ServicePhase::kStarting)
    spawn_failed(prepared ? "it was stopped before its launch" : prepared.error().message);
  else
    launch();
}

void Service::spawn_failed(std::string reason) {
  reason_ = std::move(reason);
  post(ServiceEventKind::kSpawnFailed);
}

void Service::launch() {
  if (hooks_.before_launch)
    if (Result<void> possible = hooks_.before_launch(); !possible)
      return spawn_failed(possible.error().message);
  tree_mark_ = make_mark(hooks_.records);
  Result<ProcessSpec> spec = hooks_.make_spec(tree_mark_);
  if (!spec) return spawn_failed(spec.error().message);
  if (hooks_.starts_processes && !hooks_.cgroup.empty())
    cgroup_ = make_launch_cgroup(hooks_.cgroup, tree_mark_);
  spec->cgroup = cgroup_;
  memory_kills_.begin(count_memory_kills(), std::chrono::steady_clock::now());
  if (hooks_.records) hooks_.records->begin({.service = name_, .mark = tree_mark_, .cgroup = cgroup_});
  ProcessCallbacks callbacks;
  callbacks.on_output = hooks_.on_output;
  callbacks.on_exit = [this](ExitStatus status) {
    last_exit_ = with_memory(status);
    exited_ = true;
    spdlog::info("{}: process {} ended: {}", name_, leader_, last_exit_.text());
    process({ServiceEventKind::kExited});
  };
  Result<std::unique_ptr<ChildProcess>> child = processes_.spawn(std::move(*spec), std::move(callbacks));
  if (!child) {
    forget_launch();
    return spawn_failed(child.error().message);
  }
  child_ = std::move(*child);
  leader_ = child_->pid();
  if (const auto leader = look_at_process(leader_)) leader_start_ = leader->start_time;
  known_.clear();
  members_.clear();
  if (hooks_.records) hooks_.records->launched(tree_mark_, leader_);
  if (hooks_.starts_processes || !hooks_.memory_group.empty()) look_again();
  spdlog::info("{}: launched as process {}", name_, leader_);
  if (hooks_.on_launched) hooks_.on_launched();
  post(ServiceEventKind::kSpawned);
}

// Nothing of it is left.
void Service::forget_launch() {
  remove_launch_cgroup(cgroup_);
  cgroup_.clear();
  if (hooks_.records) hooks_.records->end(tree_mark_);
}

// The launch's own group counts where it has the memory controller; else ours does, which holds the launch.
std::optional<std::uint64_t> Service::count_memory_kills() const {
  const auto own = memory_kills(cgroup_);
  return own ? own : memory_kills(hooks_.memory_group);
}

ExitStatus Service::with_memory(ExitStatus status) const {
  status.out_of_memory = memory_kills_.any(count_memory_kills());
  return status;
}

void Service::arm(const ServiceAction& action) {
  due_ = std::chrono::steady_clock::now() + action.after;
  deadline_.expires_at(*due_);
  deadline_.async_wait([this, generation = action.generation](boost::system::error_code error) {
    if (!error) process({ServiceEventKind::kDeadline, generation});
  });
}

ProcessTree Service::tree() const {
  ProcessTree tree;
  tree.mark = tree_mark_;
  tree.leader = leader_;
  tree.leader_start = leader_start_;
  tree.cgroup = cgroup_;
  return tree;
}

void Service::look_again() {
  if (!child_ || exited_ || state_.phase == ServicePhase::kStuck) return;
  if (hooks_.starts_processes) look_at_tree();
  memory_kills_.counted(count_memory_kills(), std::chrono::steady_clock::now());
  next_look_.expires_after(kLookInterval);
  next_look_.async_wait([this](boost::system::error_code error) {
    if (!error) look_again();
  });
}

// Who flees from the tree and leaves all marks behind is recognized later by having been seen in it.
void Service::look_at_tree() {
  Result<std::vector<ProcessInfo>> members = find_tree(tree(), known_);
  if (members) {
    members_ = std::move(*members);
    std::uint64_t bytes = 0;
    for (const ProcessInfo& member : members_) bytes += member.resident_bytes;
    memory_.add(std::chrono::duration_cast<std::chrono::seconds>(std::chrono::steady_clock::now() -
                                                                 state_.launched_at),
                bytes);
  } else {
    spdlog::warn("{}: cannot look at its processes: {}", name_, members.error().message);
  }
}

// What hooks and health commands still do beside a process that is gone is of no use to anybody.
Awaitable<> Service::sweep() {
  commands_.cancel();
  Awaitable<Result<std::vector<ProcessInfo>>> sweeping = hooks_.sweep(tree(), known_, kSweepLimit);
  Result<std::vector<ProcessInfo>> left = co_await std::move(sweeping);
  if (!left) spdlog::error("{}: cannot see whether anything is left of it: {}", name_, left.error().message);
  const bool gone = left && left->empty();
  survivors_ = left ? std::move(*left) : std::vector<ProcessInfo>();
  co_await commands_.end_all();
  if (gone && commands_.clean()) {
    child_.reset();
    forget_launch();
    co_await run_post_exit();
  }
  const std::vector<ProcessInfo> of_commands = commands_.survivors();
  survivors_.insert(survivors_.end(), of_commands.begin(), of_commands.end());
  const bool empty = gone && commands_.clean();
  process({empty ? ServiceEventKind::kTreeEmpty : ServiceEventKind::kTreeSurvives});
}

// Once, after a process that there was; not when somebody is in a hurry.
Awaitable<> Service::run_post_exit() {
  if (!hooks_.programs.post_exit || leader_ <= 0 || hurried_) co_return;
  if (std::exchange(post_exit_begun_, true)) co_return;
  Awaitable<Result<void>> running = hook_runner_.run("post_exit", *hooks_.programs.post_exit, hook_facts());
  const Result<void> ended = co_await std::move(running);
  if (!ended) spdlog::warn("{}: {}", name_, ended.error().message);
}

}  // namespace cppworker
