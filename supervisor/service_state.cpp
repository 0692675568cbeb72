#include "supervisor/service_state.hpp"

#include <algorithm>
#include <cmath>
#include <utility>

namespace cppworker {
namespace {

using Phase = ServicePhase;
using Kind = ServiceEventKind;
using Act = ServiceActionKind;

// One step in the making: the entries of the table are its functions, named after the state that they enter.
class Stepper {
 public:
  Stepper(const ServiceState& state, TimePoint now, double jitter, const ServicePolicy& policy)
      : now_(now), jitter_(jitter), policy_(policy) {
    made_.state = state;
  }

  ServiceState& state() { return made_.state; }
  ServiceStep take() { return std::move(made_); }
  void add(Act kind) { made_.actions.push_back({kind, {}, 0, 0}); }

  void arm(std::chrono::milliseconds after) {
    made_.actions.push_back({Act::kArmDeadline, after, ++state().generation, 0});
  }

  void disarm() {
    // The generation moves on too: a deadline that has expired already may be waiting in the runner's queue.
    ++state().generation;
    add(Act::kDisarmDeadline);
  }

  void enter_starting() {
    state().phase = Phase::kStarting;
    state().asked_to_stop = false;
    state().was_ready = false;
    state().withstood = false;
    state().cause = FailureCause::kNone;
    state().launched_at = now_;
    ++state().launches;
    arm(policy_.start_deadline);
    add(Act::kSpawn);
  }

  void enter_measuring() {
    state().phase = Phase::kMeasuring;
    arm(policy_.measure_deadline);
    add(Act::kStartMeasuring);
  }

  void enter_ready() {
    state().phase = Phase::kReady;
    state().was_ready = true;
    state().ready_at = now_;
    disarm();
    add(Act::kAnnounceReady);
  }

  void enter_stopping(FailureCause cause) {
    leave_ready();
    state().phase = Phase::kStopping;
    state().cause = cause;
    take_stop_step(0);
  }

  void take_stop_step(std::size_t number) {
    if (number >= policy_.stop.size()) return enter_killing();
    state().stop_step = number;
    state().step_until = now_ + policy_.stop[number].wait;
    arm_stop_step();
    made_.actions.push_back({Act::kStopStep, {}, state().generation, number});
  }

  // The step's time is over, or that after which a failed process is looked at again.
  void stop_step_expired(bool moving) {
    if (moving && now_ < state().step_until) return arm_stop_step();
    take_stop_step(state().stop_step + 1);
  }

  void enter_killing() {
    state().phase = Phase::kKilling;
    state().killed_at = now_;
    arm_until_stuck(policy_.kill_timeout);
    add(Act::kSendKill);
  }

  // SIGKILL can't be refused, only delayed: by a driver call that doesn't return. Nothing may be launched
  // while the process holds the GPU, so it is reported, and tried again until nobody believes in it any more.
  void stay_in_killing() {
    state().withstood = true;
    add(Act::kReportSurvivors);
    if (is_stuck()) return enter_over(Phase::kStuck);
    arm_until_stuck(policy_.kill_timeout);
    add(Act::kSendKill);
  }

  void enter_sweeping() {
    leave_ready();
    if (!state().asked_to_stop && state().cause == FailureCause::kNone) state().cause = FailureCause::kExited;
    state().phase = Phase::kSweeping;
    disarm();
    add(Act::kSettleBooks);
    add(Act::kSweepTree);
  }

  // There never was a process: what is left is the hook's that came before it.
  void sweep_before_any_process() {
    if (!state().asked_to_stop && state().cause == FailureCause::kNone)
      state().cause = FailureCause::kSpawnFailed;
    state().phase = Phase::kSweeping;
    stay_in_sweeping();
  }

  // Counted from what was found, and not from the leader's end: a hook that runs in between may take longer
  // than anybody waits for what withstands SIGKILL.
  void stay_in_sweeping() {
    if (!std::exchange(state().withstood, true)) state().killed_at = now_;
    add(Act::kReportSurvivors);
    if (is_stuck()) return enter_over(Phase::kStuck);
    arm_until_stuck(policy_.sweep_retry);
  }

  // The run is over and nothing of it is left.
  void retry() {
    const bool failed = state().cause != FailureCause::kNone;
    if (failed) count_failure();
    if (!state().wanted_up) {
      state().phase = Phase::kDown;
      disarm();
    } else if (failed && broken_rule(state().recent_failures, now_, policy_.give_up) != nullptr) {
      enter_over(Phase::kGaveUp);
    } else if (failed) {
      state().phase = Phase::kBackoff;
      arm(backoff_delay(state().was_ready ? state().failures_after_ready : state().failures_before_ready,
                        jitter_, policy_));
    } else {
      enter_starting();
    }
  }

  void spawn_failed() {
    // A start that had failed before (its hook took all of the time) has a cause already.
    if (!state().asked_to_stop && state().cause == FailureCause::kNone)
      state().cause = FailureCause::kSpawnFailed;
    retry();
  }

 private:
  // A hook has a deadline of its own.
  void arm_stop_step() {
    auto left = std::chrono::ceil<std::chrono::milliseconds>(state().step_until - now_);
    const bool may_be_short = state().cause != FailureCause::kNone && policy_.failed_stop_wait &&
                              policy_.stop[state().stop_step].to != StopStep::To::kHook;
    arm(may_be_short ? std::min(left, *policy_.failed_stop_wait) : left);
  }

  void leave_ready() {
    if (state().phase != Phase::kReady) return;
    add(Act::kAnnounceNotReady);
    if (now_ - state().ready_at < policy_.reset_after) return;
    state().failures_before_ready = 0;
    state().failures_after_ready = 0;
  }

  bool is_stuck() { return now_ - state().killed_at >= policy_.stuck_after; }

  // Another attempt comes then, or the verdict that none helps.
  void arm_until_stuck(std::chrono::milliseconds after) {
    const auto left = state().killed_at + policy_.stuck_after - now_;
    arm(std::min(after, std::chrono::ceil<std::chrono::milliseconds>(left)));
  }

  void enter_over(Phase phase) {
    state().phase = phase;
    disarm();
    add(Act::kGiveUp);
  }

  void count_failure() {
    ++(state().was_ready ? state().failures_after_ready : state().failures_before_ready);
    remember(state().recent_failures, {state().cause, now_}, policy_.give_up);
  }

  const TimePoint now_;
  const double jitter_;
  const ServicePolicy& policy_;
  ServiceStep made_;
};

bool has_live_process(Phase phase) {
  return phase == Phase::kStarting || phase == Phase::kMeasuring || phase == Phase::kReady;
}

bool is_ending(Phase phase) {
  return phase == Phase::kStopping || phase == Phase::kKilling;
}

void on_deadline(Stepper& next, bool moving) {
  switch (next.state().phase) {
    case Phase::kStarting:
      return next.enter_stopping(FailureCause::kStartDeadline);
    case Phase::kMeasuring:
      return next.enter_stopping(FailureCause::kMeasureFailed);
    case Phase::kStopping:
      return next.stop_step_expired(moving);
    case Phase::kKilling:
      return next.stay_in_killing();
    case Phase::kSweeping:
      return next.add(Act::kSweepTree);
    case Phase::kBackoff:
      return next.enter_starting();
    case Phase::kDown:
    case Phase::kReady:
    case Phase::kGaveUp:
    case Phase::kStuck:
      return;
  }
}

void on_want_down(Stepper& next) {
  const Phase phase = next.state().phase;
  next.state().wanted_up = false;
  if (has_live_process(phase)) {
    next.state().asked_to_stop = true;
    next.enter_stopping(FailureCause::kNone);
  } else if (phase == Phase::kBackoff) {
    next.state().phase = Phase::kDown;
    next.disarm();
  }
}

}  // namespace

ServiceStep step(const ServiceState& state, const ServiceEvent& event, TimePoint now,
                 const ServicePolicy& policy) {
  Stepper next(state, now, event.jitter, policy);
  const Phase phase = state.phase;
  switch (event.kind) {
    case Kind::kWantUp:
      next.state().wanted_up = true;
      if (phase == Phase::kDown) next.enter_starting();
      break;
    case Kind::kWantDown:
      on_want_down(next);
      break;
    case Kind::kHurry:
      if (phase == Phase::kStopping) next.enter_killing();
      break;
    case Kind::kSpawned:
      break;
    case Kind::kSpawnFailed:
      if (phase == Phase::kStarting || is_ending(phase)) next.spawn_failed();
      break;
    case Kind::kSeenReady:
      if (phase != Phase::kStarting) break;
      policy.measures ? next.enter_measuring() : next.enter_ready();
      break;
    case Kind::kMeasured:
      if (phase == Phase::kMeasuring) next.enter_ready();
      break;
    case Kind::kMeasureFailed:
      if (phase == Phase::kMeasuring) next.enter_stopping(FailureCause::kMeasureFailed);
      break;
    case Kind::kUnhealthy:
      if (phase == Phase::kReady) next.enter_stopping(FailureCause::kUnhealthy);
      break;
    case Kind::kFatalLog:
      if (has_live_process(phase)) next.enter_stopping(FailureCause::kFatalLog);
      break;
    case Kind::kNoProgress:
      if (phase == Phase::kStarting) next.enter_stopping(FailureCause::kNoProgress);
      break;
    case Kind::kExited:
      if (has_live_process(phase) || is_ending(phase)) next.enter_sweeping();
      break;
    case Kind::kTreeEmpty:
      if (phase == Phase::kSweeping) next.retry();
      break;
    case Kind::kTreeSurvives:
      if (phase == Phase::kSweeping) next.stay_in_sweeping();
      if (phase == Phase::kStarting || is_ending(phase)) next.sweep_before_any_process();
      break;
    case Kind::kDeadline:
      if (event.generation == state.generation) on_deadline(next, event.moving);
      break;
    case Kind::kStopStepOver:
      if (phase == Phase::kStopping && event.generation == state.generation)
        next.take_stop_step(state.stop_step + 1);
      break;
  }
  return next.take();
}

GiveUpRules default_give_up_rules() {
  return {{.causes = {}, .failures = 10, .window = std::chrono::hours(3)},
          {.causes = {}, .failures = 16, .window = std::chrono::hours(24)},
          {.causes = {FailureCause::kStartDeadline, FailureCause::kNoProgress},
           .failures = 3,
           .window = std::chrono::hours(24)}};
}

std::chrono::milliseconds backoff_delay(int failures, double jitter, const ServicePolicy& policy) {
  // Doubling is capped in the exponent too: 2^1000 is no number of milliseconds.
  constexpr int kMostDoublings = 30;
  const double doubled = static_cast<double>(policy.backoff_first.count()) *
                         std::exp2(std::clamp(failures - 1, 0, kMostDoublings));
  const double most = static_cast<double>(policy.backoff_most.count());
  double varied = std::min(doubled, most) * (1 + policy.backoff_jitter * std::clamp(jitter, -1.0, 1.0));
  if (varied > most) varied = std::max(0.0, 2 * most - varied);  // turned back: cut off, half would be equal
  return std::chrono::milliseconds(std::llround(varied));
}

std::string_view name_of(ServicePhase phase) {
  switch (phase) {
    case Phase::kDown:
      return "down";
    case Phase::kStarting:
      return "starting";
    case Phase::kMeasuring:
      return "measuring";
    case Phase::kReady:
      return "ready";
    case Phase::kStopping:
      return "stopping";
    case Phase::kKilling:
      return "killing";
    case Phase::kSweeping:
      return "sweeping";
    case Phase::kBackoff:
      return "backoff";
    case Phase::kGaveUp:
      return "gave_up";
    case Phase::kStuck:
      return "stuck";
  }
  return "?";
}

std::string_view name_of(ServiceEventKind kind) {
  switch (kind) {
    case Kind::kWantUp:
      return "want_up";
    case Kind::kWantDown:
      return "want_down";
    case Kind::kHurry:
      return "hurry";
    case Kind::kSpawned:
      return "spawned";
    case Kind::kSpawnFailed:
      return "spawn_failed";
    case Kind::kSeenReady:
      return "seen_ready";
    case Kind::kMeasured:
      return "measured";
    case Kind::kMeasureFailed:
      return "measure_failed";
    case Kind::kUnhealthy:
      return "unhealthy";
    case Kind::kFatalLog:
      return "fatal_log";
    case Kind::kNoProgress:
      return "no_progress";
    case Kind::kExited:
      return "exited";
    case Kind::kTreeEmpty:
      return "tree_empty";
    case Kind::kTreeSurvives:
      return "tree_survives";
    case Kind::kDeadline:
      return "deadline";
    case Kind::kStopStepOver:
      return "stop_step_over";
  }
  return "?";
}

std::string_view name_of(ServiceActionKind kind) {
  switch (kind) {
    case Act::kSpawn:
      return "spawn";
    case Act::kStopStep:
      return "stop";
    case Act::kSendKill:
      return "kill";
    case Act::kSweepTree:
      return "sweep";
    case Act::kAnnounceReady:
      return "announce_ready";
    case Act::kAnnounceNotReady:
      return "announce_not_ready";
    case Act::kStartMeasuring:
      return "measure";
    case Act::kArmDeadline:
      return "arm";
    case Act::kDisarmDeadline:
      return "disarm";
    case Act::kSettleBooks:
      return "settle";
    case Act::kReportSurvivors:
      return "report";
    case Act::kGiveUp:
      return "give_up";
  }
  return "?";
}

std::string_view name_of(FailureCause cause) {
  switch (cause) {
    case FailureCause::kNone:
      return "none";
    case FailureCause::kSpawnFailed:
      return "it could not be started";
    case FailureCause::kStartDeadline:
      return "it was not ready in time";
    case FailureCause::kMeasureFailed:
      return "the benchmark failed";
    case FailureCause::kUnhealthy:
      return "it is unwell";
    case FailureCause::kFatalLog:
      return "its log says that it can't go on";
    case FailureCause::kNoProgress:
      return "it loaded and nothing moved any more";
    case FailureCause::kExited:
      return "the process ended";
  }
  return "?";
}

std::string_view key_of(FailureCause cause) {
  switch (cause) {
    case FailureCause::kNone:
      return "none";
    case FailureCause::kSpawnFailed:
      return "spawn";
    case FailureCause::kStartDeadline:
      return "start_deadline";
    case FailureCause::kMeasureFailed:
      return "benchmark";
    case FailureCause::kUnhealthy:
      return "health";
    case FailureCause::kFatalLog:
      return "fatal_log";
    case FailureCause::kNoProgress:
      return "no_progress";
    case FailureCause::kExited:
      return "exit";
  }
  return "?";
}

}  // namespace cppworker
