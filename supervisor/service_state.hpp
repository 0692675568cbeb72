// The life of one supervised process (the model, a proxy) as a pure state machine: step() decides, a runner
// acts.
//
// The runner feeds every event, performs the actions in their order, and gives kDeadline back with the
// generation of the kArmDeadline that asked for it. No clock, process or loop in here. `now` never runs
// backwards.
//
//                 down       starting    measuring   ready       stopping    killing     sweeping    backoff
//  want_up        starting   .           .           .           .           .           .           .
//  want_down      .          stopping    stopping    stopping    .           .           .           down
//  hurry          .          .           .           .           killing     .           .           .
//  spawned        .          .           .           .           .           .           .           .
//  spawn_failed   .          retry (2)   .           .           retry (2)   retry (2)   .           .
//  seen_ready     .          ready (1)   .           .           .           .           .           .
//  measured       .          .           ready       .           .           .           .           .
//  measure_failed .          .           stopping    .           .           .           .           .
//  unhealthy      .          .           .           stopping    .           .           .           .
//  fatal_log      .          stopping    stopping    stopping    .           .           .           .
//  exited         .          sweeping    sweeping    sweeping    sweeping    sweeping    .           .
//  tree_empty     .          .           .           .           .           .           retry (2)   .
//  tree_survives  .          .           .           .           .           .           sweeping(3) .
//  deadline       .          stopping    stopping    .           killing     killing (3) sweeping    starting
//
//  .    no transition; want_up and want_down are remembered all the same
//  (1)  measuring where the policy asks for a benchmark
//  (2)  retry: wanted down -> down; wanted up after a failure -> backoff; wanted up after a stop that was
//  asked
//       for -> starting at once
//  (3)  same state again: the survivors are reported, and another attempt follows
//
// What the table makes true: a launch never happens on top of what an earlier one left (starting is entered
// only from down, backoff and a swept tree); a wanted-up service never rests in a state without a process or
// a deadline; health restarts nothing that wasn't ready before; running, ready and wanted are three things.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>
#include <string_view>
#include <vector>

namespace cppworker {

using TimePoint = std::chrono::steady_clock::time_point;

enum class ServicePhase {
  kDown,       // no process, none wanted
  kStarting,   // the process runs, and isn't ready
  kMeasuring,  // answers, and the benchmark runs
  kReady,      // takes requests
  kStopping,   // the stop signal was sent
  kKilling,    // SIGKILL was sent
  kSweeping,   // the leader is gone; what it left is being ended
  kBackoff,    // waits for the next launch
};
inline constexpr std::array kServicePhases = {
    ServicePhase::kDown,     ServicePhase::kStarting, ServicePhase::kMeasuring, ServicePhase::kReady,
    ServicePhase::kStopping, ServicePhase::kKilling,  ServicePhase::kSweeping,  ServicePhase::kBackoff};

enum class ServiceEventKind {
  kWantUp,         // somebody wants it to run; also asks for a restart when given after kWantDown
  kWantDown,       // somebody wants it gone
  kHurry,          // no more patience with the stop signal: comes after kWantDown
  kSpawned,        // kSpawn worked
  kSpawnFailed,    // kSpawn didn't: there is no process
  kSeenReady,      // log and health say ready (readiness.hpp)
  kMeasured,       // the benchmark has a figure, fresh or remembered
  kMeasureFailed,  // not one benchmark request succeeded
  kUnhealthy,      // the health gate closed (health_probe.hpp)
  kFatalLog,       // a log line says that it won't recover
  kExited,         // the leader's exit status was taken
  kTreeEmpty,      // the sweep found nothing (any more)
  kTreeSurvives,   // the sweep gave up on something
  kDeadline,       // the armed time has passed
};
inline constexpr std::array kServiceEventKinds = {
    ServiceEventKind::kWantUp,       ServiceEventKind::kWantDown,      ServiceEventKind::kHurry,
    ServiceEventKind::kSpawned,      ServiceEventKind::kSpawnFailed,   ServiceEventKind::kSeenReady,
    ServiceEventKind::kMeasured,     ServiceEventKind::kMeasureFailed, ServiceEventKind::kUnhealthy,
    ServiceEventKind::kFatalLog,     ServiceEventKind::kExited,        ServiceEventKind::kTreeEmpty,
    ServiceEventKind::kTreeSurvives, ServiceEventKind::kDeadline};

struct ServiceEvent {
  ServiceEventKind kind;
  std::uint64_t generation = 0;  // kDeadline: which arming it belongs to; a stale one is dropped
  double jitter = 0;             // a random number from -1 to 1, used when the step enters kBackoff
};

enum class ServiceActionKind {
  kSpawn,             // launch; answer with kSpawned or kSpawnFailed
  kSendStop,          // the backend's stop signal
  kSendKill,          // SIGKILL to leader and group
  kSweepTree,         // end every process of the tree; answer with kTreeEmpty or kTreeSurvives
  kAnnounceReady,     // let requests in
  kAnnounceNotReady,  // let none in; always before anything is done to a process that was ready
  kStartMeasuring,    // run the benchmark; answer with kMeasured or kMeasureFailed
  kArmDeadline,       // give kDeadline{generation} after `after`; replaces an earlier one
  kDisarmDeadline,    // nothing is waited for
  kSettleBooks,       // what was in flight in the dead process will get no answer
  kReportSurvivors,   // name the processes that withstand SIGKILL
};

struct ServiceAction {
  ServiceActionKind kind;
  std::chrono::milliseconds after{0};
  std::uint64_t generation = 0;
};

// Why the current or last run ended, where nobody had asked for it.
enum class FailureCause {
  kNone,
  kSpawnFailed,
  kStartDeadline,
  kMeasureFailed,
  kUnhealthy,
  kFatalLog,
  kExited
};

struct ServicePolicy {
  bool measures = false;  // a benchmark comes before the first request
  // From the launch to ready. Models are downloaded in this time: hours are possible.
  std::chrono::milliseconds start_deadline{std::chrono::hours(1)};
  // Three runs of ten slow requests fit; beyond that the server hangs.
  std::chrono::milliseconds measure_deadline{std::chrono::minutes(15)};
  // Text servers finish what they generate first.
  std::chrono::milliseconds stop_timeout{std::chrono::seconds(90)};
  // After SIGKILL a process lives only as long as the kernel is stuck in a driver on its behalf.
  std::chrono::milliseconds kill_timeout{std::chrono::seconds(10)};
  // Between two sweeps of a tree that withstood one.
  std::chrono::milliseconds sweep_retry{std::chrono::seconds(5)};
  // Waits between launches: first, doubled with each failure in a row, at most.
  std::chrono::milliseconds backoff_first{std::chrono::seconds(1)};
  std::chrono::milliseconds backoff_most{std::chrono::seconds(60)};
  // Share by which the wait varies, so that a fleet that failed together doesn't come back together.
  double backoff_jitter = 0.2;
  // So long it must have been ready for earlier failures to be forgotten. Being merely alive forgets nothing:
  // a server that loads for ten minutes and then dies would start over at one second for ever.
  std::chrono::milliseconds reset_after{std::chrono::minutes(5)};
};

struct ServiceState {
  ServicePhase phase = ServicePhase::kDown;
  bool wanted_up = false;
  bool asked_to_stop = false;  // the end of this run was wanted: no failure, no backoff
  bool was_ready = false;      // in this run
  FailureCause cause = FailureCause::kNone;
  int failures_before_ready = 0;  // in a row; their own curve, as each costs a load
  int failures_after_ready = 0;
  std::uint64_t launches = 0;           // kSpawn actions so far
  std::uint64_t generation = 0;         // of the last arming
  TimePoint launched_at{}, ready_at{};  // of this run
};

struct ServiceStep {
  ServiceState state;
  std::vector<ServiceAction> actions;
};

ServiceStep step(const ServiceState& state, const ServiceEvent& event, TimePoint now,
                 const ServicePolicy& policy);

// The wait after the n-th failure in a row (n from 1).
std::chrono::milliseconds backoff_delay(int failures, double jitter, const ServicePolicy& policy);

std::string_view name_of(ServicePhase phase);
std::string_view name_of(ServiceEventKind kind);
std::string_view name_of(ServiceActionKind kind);
std::string_view name_of(FailureCause cause);  // as it stands in a message: "the process ended"

}  // namespace cppworker
