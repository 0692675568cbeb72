// The life of one supervised process (the model, a proxy) as a pure state machine: step() decides, a runner
// acts.
//
// The runner feeds every event, performs the actions in their order, and gives kDeadline back with the
// generation of the kArmDeadline that asked for it. No clock, process or loop in here. `now` never runs
// backwards.
//
//                 down       starting    measuring   ready       stopping     killing      sweeping backoff
//  want_up        starting   .           .           .           .            .            .            .
//  want_down      .          stopping    stopping    stopping    .            .            .            down
//  hurry          .          .           .           .           killing      .            .            .
//  spawned        .          .           .           .           .            .            .            .
//  spawn_failed   .          retry (2)   .           .           retry (2)    retry (2)    .            .
//  seen_ready     .          ready (1)   .           .           .            .            .            .
//  measured       .          .           ready       .           .            .            .            .
//  measure_failed .          .           stopping    .           .            .            .            .
//  unhealthy      .          .           .           stopping    .            .            .            .
//  fatal_log      .          stopping    stopping    stopping    .            .            .            .
//  no_progress    .          stopping    .           .           .            .            .            .
//  exited         .          sweeping    sweeping    sweeping    sweeping     sweeping     .            .
//  tree_empty     .          .           .           .           .            .            retry (2)    .
//  tree_survives  .          sweeping (5) .          .           sweeping (5) sweeping (5) sweeping (3) .
//  deadline       .          stopping    stopping    .           stopping (4) killing (3)  sweeping starting
//  stop_step_over .          .           .           .           stopping (4) .            .            .
//
//  .    no transition; want_up and want_down are remembered all the same
//  (1)  measuring where the policy asks for a benchmark
//  (2)  retry: wanted down -> down; wanted up after a failure -> backoff, or gave_up where a rule of the
//  policy
//       says that it is enough; wanted up after a stop that was asked for -> starting at once
//  (3)  same state again: the survivors are reported, and another attempt follows; stuck when that has gone
//  on
//       for too long
//  (4)  the next step of the stop; killing after the last. A stop after a failure has short steps, which a
//  deadline prolongs as long as it still serves somebody (failed_stop_wait)
//  (5)  left by the hook that comes before the process, which doesn't come now: a failed start
//
//  gave_up and stuck are left by nothing: the worker reports why, and exits with a code of its own.
//
// What the table makes true: a launch never happens on top of what an earlier one left (starting is entered
// only from down, backoff and a swept tree); a wanted-up service never rests in a state without a process or
// a deadline, unless it has said that it gives up; health restarts nothing that wasn't ready before; running,
// ready and wanted are three things.
#pragma once

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <optional>
#include <string_view>
#include <vector>

#include "supervisor/give_up.hpp"

namespace cppworker {

enum class ServicePhase {
  kDown,       // no process, none wanted
  kStarting,   // the process runs, and isn't ready
  kMeasuring,  // answers, and the benchmark runs
  kReady,      // takes requests
  kStopping,   // the steps of the stop are taken, one after the other
  kKilling,    // SIGKILL was sent
  kSweeping,   // the leader is gone; what it left is being ended
  kBackoff,    // waits for the next launch
  kGaveUp,     // failed too often; nothing of it is left
  kStuck,      // something of it withstands SIGKILL
};
inline constexpr std::array kServicePhases = {
    ServicePhase::kDown,     ServicePhase::kStarting, ServicePhase::kMeasuring, ServicePhase::kReady,
    ServicePhase::kStopping, ServicePhase::kKilling,  ServicePhase::kSweeping,  ServicePhase::kBackoff,
    ServicePhase::kGaveUp,   ServicePhase::kStuck};

// Nothing will happen to it any more unless somebody wants it.
inline bool is_over(ServicePhase phase) {
  return phase == ServicePhase::kDown || phase == ServicePhase::kGaveUp || phase == ServicePhase::kStuck;
}

enum class ServiceEventKind {
  kWantUp,         // somebody wants it to run; also asks for a restart when given after kWantDown
  kWantDown,       // somebody wants it gone
  kHurry,          // no more patience with the stop's steps: comes after kWantDown
  kSpawned,        // kSpawn worked
  kSpawnFailed,    // kSpawn didn't: there is no process
  kSeenReady,      // log and health say ready (readiness.hpp)
  kMeasured,       // the benchmark has a figure, fresh or remembered
  kMeasureFailed,  // not one benchmark request succeeded
  kUnhealthy,      // the health gate closed (health_probe.hpp)
  kFatalLog,       // a log line says that it won't recover
  kNoProgress,     // it loads, and nothing moves (startup_watch.hpp)
  kExited,         // the leader's exit status was taken
  kTreeEmpty,      // the sweep found nothing (any more)
  kTreeSurvives,   // the sweep gave up on something; or something is left of a launch without a process
  kDeadline,       // the armed time has passed
  kStopStepOver,   // the step that kStopStep began has nothing more to wait for
};
inline constexpr std::array kServiceEventKinds = {
    ServiceEventKind::kWantUp,      ServiceEventKind::kWantDown,      ServiceEventKind::kHurry,
    ServiceEventKind::kSpawned,     ServiceEventKind::kSpawnFailed,   ServiceEventKind::kSeenReady,
    ServiceEventKind::kMeasured,    ServiceEventKind::kMeasureFailed, ServiceEventKind::kUnhealthy,
    ServiceEventKind::kFatalLog,    ServiceEventKind::kNoProgress,    ServiceEventKind::kExited,
    ServiceEventKind::kTreeEmpty,   ServiceEventKind::kTreeSurvives,  ServiceEventKind::kDeadline,
    ServiceEventKind::kStopStepOver};

struct ServiceEvent {
  ServiceEventKind kind;
  // kDeadline, kStopStepOver: which arming it belongs to; a stale one is dropped
  std::uint64_t generation = 0;
  double jitter = 0;  // a random number from -1 to 1, used when the step enters kBackoff
  bool moving =
      false;  // kDeadline: it has served somebody since the step of the stop, or the last such event
};

enum class ServiceActionKind {
  kSpawn,             // launch; answer with kSpawned or kSpawnFailed
  kStopStep,          // take ServicePolicy::stop[step]
  kSendKill,          // SIGKILL to leader and group
  kSweepTree,         // end every process of the tree; answer with kTreeEmpty or kTreeSurvives
  kAnnounceReady,     // let requests in
  kAnnounceNotReady,  // let none in; always before anything is done to a process that was ready
  kStartMeasuring,    // run the benchmark; answer with kMeasured or kMeasureFailed
  kArmDeadline,       // give kDeadline{generation} after `after`; replaces an earlier one
  kDisarmDeadline,    // nothing is waited for
  kSettleBooks,       // what was in flight in the dead process will get no answer
  kReportSurvivors,   // name the processes that withstand SIGKILL
  kGiveUp,            // say why: the last action there ever is
};

struct ServiceAction {
  ServiceActionKind kind;
  std::chrono::milliseconds after{0};
  std::uint64_t generation = 0;  // kArmDeadline, kStopStep
  std::size_t step = 0;          // kStopStep
};

// Why the current or last run ended, where nobody had asked for it.
enum class FailureCause {
  kNone,
  kSpawnFailed,
  kStartDeadline,
  kMeasureFailed,
  kUnhealthy,
  kFatalLog,
  kNoProgress,
  kExited
};
inline constexpr std::array kFailureCauses = {FailureCause::kSpawnFailed,   FailureCause::kStartDeadline,
                                              FailureCause::kMeasureFailed, FailureCause::kUnhealthy,
                                              FailureCause::kFatalLog,      FailureCause::kNoProgress,
                                              FailureCause::kExited};

// One step of a stop: something is said, and so long the process has to end. After the last one comes
// SIGKILL.
struct StopStep {
  enum class To {
    kLeader,  // which knows how to stop its own processes
    kGroup,
    kTree,  // every process of the launch, wherever it fled: where each has a stack to dump
    kHook,  // no signal: the backend's pre_stop command
  };
  int signal = SIGTERM;
  // Text servers finish what they generate first.
  std::chrono::milliseconds wait{std::chrono::seconds(90)};
  To to = To::kLeader;
};

GiveUpRules default_give_up_rules();

struct ServicePolicy {
  bool measures = false;  // a benchmark comes before the first request
  // From the launch to ready. Models are downloaded in this time: hours are possible.
  std::chrono::milliseconds start_deadline{std::chrono::hours(1)};
  // Three runs of ten slow requests fit; beyond that the server hangs.
  std::chrono::milliseconds measure_deadline{std::chrono::minutes(15)};
  std::vector<StopStep> stop{StopStep{}};  // empty: SIGKILL at once
  // The same after a failure, where nobody is served any more: who has received no byte is served by the next
  // launch, and waits for it. Without it a failed one gets all of its time.
  std::optional<std::chrono::milliseconds> failed_stop_wait{};
  // After SIGKILL a process lives only as long as the kernel is stuck in a driver on its behalf.
  std::chrono::milliseconds kill_timeout{std::chrono::seconds(10)};
  // Between two sweeps of a tree that withstood one.
  std::chrono::milliseconds sweep_retry{std::chrono::seconds(5)};
  // From the first SIGKILL on. A driver's own reset takes a minute at the most; what hangs for longer needs
  // another machine.
  std::chrono::milliseconds stuck_after{std::chrono::minutes(2)};
  // Waits between launches: first, doubled with each failure in a row, at most.
  std::chrono::milliseconds backoff_first{std::chrono::seconds(1)};
  std::chrono::milliseconds backoff_most{std::chrono::seconds(60)};
  // Share by which the wait varies, so that a fleet that failed together doesn't come back together.
  double backoff_jitter = 0.2;
  // So long it must have been ready for the waits to begin with the first again. Being merely alive resets
  // nothing: a server that loads for ten minutes and then dies would start over at one second for ever.
  std::chrono::milliseconds reset_after{std::chrono::minutes(5)};
  // Being ready resets no count: a server that dies every six minutes is of no use, however well it is in
  // between. The first rule: four minutes of failing at once, which a network that is slow to come up
  // survives, and at the latest a failure every 20 minutes. The second: one that goes on for a day with a
  // failure every hour and a half, or as many loads of an hour as anyone will pay for; what dies more rarely
  // lives on. The third: each of these has cost the whole startup deadline.
  GiveUpRules give_up = default_give_up_rules();
};

struct ServiceState {
  ServicePhase phase = ServicePhase::kDown;
  bool wanted_up = false;
  bool asked_to_stop = false;  // the end of this run was wanted: no failure, no backoff
  bool was_ready = false;      // in this run
  FailureCause cause = FailureCause::kNone;
  int failures_before_ready = 0;  // in a row; their own curve, as each costs a load
  int failures_after_ready = 0;
  std::vector<Failure> recent_failures;  // what the rules for giving up look at
  std::uint64_t launches = 0;            // kSpawn actions so far
  std::uint64_t generation = 0;          // of the last arming
  TimePoint launched_at{}, ready_at{};   // of this run
  std::size_t stop_step = 0;             // which one is being waited for
  TimePoint step_until{};                // and for how long at the most
  TimePoint killed_at{};   // the first SIGKILL to the leader, or to what is known to withstand it
  bool withstood = false;  // in this run: survivors were reported, since killed_at
};

struct ServiceStep {
  ServiceState state;
  std::vector<ServiceAction> actions;
};

ServiceStep step(const ServiceState& state, const ServiceEvent& event, TimePoint now,
                 const ServicePolicy& policy);

// The wait after the n-th failure in a row (n from 1); backoff_most is never exceeded.
std::chrono::milliseconds backoff_delay(int failures, double jitter, const ServicePolicy& policy);

std::string_view name_of(ServicePhase phase);
std::string_view name_of(ServiceEventKind kind);
std::string_view name_of(ServiceActionKind kind);
std::string_view name_of(FailureCause cause);  // as it stands in a message: "the process ended"
// As it stands in backend.json and in a hook's environment: "exit".
std::string_view key_of(FailureCause cause);

}  // namespace cppworker
