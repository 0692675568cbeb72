#include "supervisor/service_state.hpp"

#include <gmock/gmock.h>

#include <map>

#include "tests/supervisor/service_life.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Phase = ServicePhase;
using Kind = ServiceEventKind;

// A state of that phase as it comes about in life, for a wanted-up service.
ServiceState state_in(Phase phase) {
  ServiceState state;
  state.phase = phase;
  state.wanted_up = phase != Phase::kDown;
  state.generation = 7;
  state.launched_at = kStart - 1h;
  state.was_ready = phase == Phase::kReady;
  state.ready_at = kStart - 1min;
  state.killed_at = kStart - 10s;
  if (phase == Phase::kSweeping || phase == Phase::kBackoff) state.cause = FailureCause::kExited;
  return state;
}

// The table of service_state.hpp once more, with the actions. A pair that isn't here does nothing.
using Pair = std::pair<Phase, Kind>;
const std::map<Pair, std::string> kTransitions = {
    {{Phase::kDown, Kind::kWantUp}, "starting: arm spawn"},

    {{Phase::kStarting, Kind::kWantDown}, "stopping: arm stop"},
    {{Phase::kStarting, Kind::kSpawnFailed}, "backoff: arm"},
    {{Phase::kStarting, Kind::kSeenReady}, "ready: disarm announce_ready"},
    {{Phase::kStarting, Kind::kFatalLog}, "stopping: arm stop"},
    {{Phase::kStarting, Kind::kNoProgress}, "stopping: arm stop"},
    {{Phase::kStarting, Kind::kTreeSurvives}, "sweeping: report arm"},
    {{Phase::kStarting, Kind::kExited}, "sweeping: disarm settle sweep"},
    {{Phase::kStarting, Kind::kDeadline}, "stopping: arm stop"},

    {{Phase::kMeasuring, Kind::kWantDown}, "stopping: arm stop"},
    {{Phase::kMeasuring, Kind::kMeasured}, "ready: disarm announce_ready"},
    {{Phase::kMeasuring, Kind::kMeasureFailed}, "stopping: arm stop"},
    {{Phase::kMeasuring, Kind::kFatalLog}, "stopping: arm stop"},
    {{Phase::kMeasuring, Kind::kExited}, "sweeping: disarm settle sweep"},
    {{Phase::kMeasuring, Kind::kDeadline}, "stopping: arm stop"},

    {{Phase::kReady, Kind::kWantDown}, "stopping: announce_not_ready arm stop"},
    {{Phase::kReady, Kind::kUnhealthy}, "stopping: announce_not_ready arm stop"},
    {{Phase::kReady, Kind::kFatalLog}, "stopping: announce_not_ready arm stop"},
    {{Phase::kReady, Kind::kExited}, "sweeping: announce_not_ready disarm settle sweep"},

    {{Phase::kStopping, Kind::kHurry}, "killing: arm kill"},
    {{Phase::kStopping, Kind::kSpawnFailed}, "backoff: arm"},
    {{Phase::kStopping, Kind::kTreeSurvives}, "sweeping: report arm"},
    {{Phase::kStopping, Kind::kExited}, "sweeping: disarm settle sweep"},
    {{Phase::kStopping, Kind::kDeadline}, "killing: arm kill"},
    {{Phase::kStopping, Kind::kStopStepOver}, "killing: arm kill"},

    {{Phase::kKilling, Kind::kSpawnFailed}, "backoff: arm"},
    {{Phase::kKilling, Kind::kTreeSurvives}, "sweeping: report arm"},
    {{Phase::kKilling, Kind::kExited}, "sweeping: disarm settle sweep"},
    {{Phase::kKilling, Kind::kDeadline}, "killing: report arm kill"},

    {{Phase::kSweeping, Kind::kTreeEmpty}, "backoff: arm"},
    {{Phase::kSweeping, Kind::kTreeSurvives}, "sweeping: report arm"},
    {{Phase::kSweeping, Kind::kDeadline}, "sweeping: sweep"},

    {{Phase::kBackoff, Kind::kWantDown}, "down: disarm"},
    {{Phase::kBackoff, Kind::kDeadline}, "starting: arm spawn"},
};

TEST(ServiceState, DecidesEveryPairOfStateAndEvent) {
  for (const Phase phase : kServicePhases) {
    for (const Kind kind : kServiceEventKinds) {
      const ServiceState before = state_in(phase);
      const ServiceStep made = step(before, {.kind = kind, .generation = before.generation}, kStart, {});
      const std::string got = std::string(name_of(made.state.phase)) + ": " + actions_of(made);
      const auto entry = kTransitions.find({phase, kind});
      const std::string want =
          entry != kTransitions.end() ? entry->second : std::string(name_of(phase)) + ": ";
      EXPECT_EQ(got, want) << name_of(phase) << " + " << name_of(kind);
    }
  }
}

TEST(ServiceState, RemembersWhatIsWantedInEveryState) {
  for (const Phase phase : kServicePhases) {
    EXPECT_TRUE(step(state_in(phase), {Kind::kWantUp}, kStart, {}).state.wanted_up) << name_of(phase);
    EXPECT_FALSE(step(state_in(phase), {Kind::kWantDown}, kStart, {}).state.wanted_up) << name_of(phase);
  }
}

// A wanted-up service either has a process or a sweep that will report, or waits for a deadline that it
// armed.
TEST(ServiceState, NeverRestsInADeadStateWhileWantedUp) {
  for (const Phase phase : kServicePhases) {
    for (const Kind kind : kServiceEventKinds) {
      const ServiceState before = state_in(phase);
      const ServiceStep made = step(before, {.kind = kind, .generation = before.generation}, kStart, {});
      if (!made.state.wanted_up) continue;
      if (is_over(before.phase) && before.phase != Phase::kDown) continue;  // it has said that it gives up
      EXPECT_NE(made.state.phase, Phase::kDown) << name_of(phase) << " + " << name_of(kind);
      if (made.state.phase != before.phase && made.state.phase != Phase::kReady) {
        EXPECT_THAT(actions_of(made), testing::AnyOf(testing::HasSubstr("arm"), testing::HasSubstr("sweep")));
      }
    }
  }
}

TEST(ServiceState, DropsStaleDeadlines) {
  for (const Phase phase : kServicePhases) {
    const ServiceState before = state_in(phase);
    const ServiceStep made =
        step(before, {.kind = Kind::kDeadline, .generation = before.generation - 1}, kStart, {});
    EXPECT_EQ(made.state.phase, phase);
    EXPECT_EQ(actions_of(made), "");
  }
}

TEST(ServiceState, EveryArmingHasAGenerationOfItsOwn) {
  const ServiceState down = state_in(Phase::kDown);
  const ServiceStep started = step(down, {Kind::kWantUp}, kStart, {});
  EXPECT_EQ(started.actions.at(0).generation, down.generation + 1);
  EXPECT_EQ(started.state.generation, down.generation + 1);
  // Being ready is waited for by nobody, so an expired start deadline that still is in a queue must be stale.
  const ServiceStep ready = step(started.state, {Kind::kSeenReady}, kStart, {});
  EXPECT_GT(ready.state.generation, started.state.generation);
}

TEST(ServiceState, ArmsTheTimesOfThePolicy) {
  const ServicePolicy policy{.measures = true,
                             .start_deadline = 1s,
                             .measure_deadline = 2s,
                             .stop = {{.wait = 3s}},
                             .kill_timeout = 4s,
                             .sweep_retry = 5s};
  const auto armed = [&](Phase phase, Kind kind) {
    const ServiceState before = state_in(phase);
    for (const ServiceAction& action :
         step(before, {.kind = kind, .generation = before.generation}, kStart, policy).actions)
      if (action.kind == ServiceActionKind::kArmDeadline) return action.after;
    return 0ms;
  };
  EXPECT_EQ(armed(Phase::kDown, Kind::kWantUp), 1s);
  EXPECT_EQ(armed(Phase::kStarting, Kind::kSeenReady), 2s);
  EXPECT_EQ(armed(Phase::kReady, Kind::kWantDown), 3s);
  EXPECT_EQ(armed(Phase::kStopping, Kind::kDeadline), 4s);
  EXPECT_EQ(armed(Phase::kSweeping, Kind::kTreeSurvives), 5s);
}

TEST(ServiceState, RestartThatIsAskedForTakesNoBackoff) {
  Life life;
  life.on(Kind::kWantUp).on(Kind::kSpawned).on(Kind::kSeenReady);
  life.on(Kind::kWantDown).on(Kind::kWantUp).on(Kind::kExited).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.state().phase, Phase::kStarting);
  EXPECT_EQ(actions_of(life.last()), "arm spawn");
  EXPECT_EQ(life.state().failures_after_ready, 0);
}

TEST(ServiceState, StopThatIsAskedForEndsDown) {
  Life life;
  life.on(Kind::kWantUp).on(Kind::kSpawned).on(Kind::kSeenReady).on(Kind::kWantDown);
  life.on(Kind::kExited).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.state().phase, Phase::kDown);
  EXPECT_EQ(life.state().cause, FailureCause::kNone);
  EXPECT_EQ(life.state().failures_after_ready, 0);
}

TEST(ServiceState, FailedServiceThatIsNoLongerWantedEndsDown) {
  Life life;
  life.on(Kind::kWantUp).on(Kind::kSpawned).on(Kind::kExited).on(Kind::kWantDown).on(Kind::kTreeEmpty);
  EXPECT_EQ(life.state().phase, Phase::kDown);
}

TEST(ServiceState, NothingIsLaunchedUntilTheTreeIsEmpty) {
  Life life;
  life.on(Kind::kWantUp).on(Kind::kSpawned).on(Kind::kExited);
  for (int i = 0; i < 5; ++i) {
    life.on(Kind::kTreeSurvives);
    EXPECT_EQ(life.state().phase, Phase::kSweeping);
    life.on(Kind::kWantUp).on(Kind::kDeadline);
    EXPECT_EQ(actions_of(life.last()), "sweep");
  }
  EXPECT_EQ(life.state().launches, 1u);
}

TEST(ServiceState, MeasuresBeforeItIsReady) {
  Life life({.measures = true});
  life.on(Kind::kWantUp).on(Kind::kSpawned).on(Kind::kSeenReady);
  EXPECT_EQ(life.state().phase, Phase::kMeasuring);
  EXPECT_EQ(actions_of(life.last()), "arm measure");
  life.on(Kind::kUnhealthy);
  EXPECT_EQ(life.state().phase, Phase::kMeasuring) << "a server under full load may miss a probe";
  life.on(Kind::kMeasured);
  EXPECT_EQ(life.state().phase, Phase::kReady);
}

TEST(ServiceState, KeepsTheCauseOfAFailureToItsEnd) {
  const std::map<FailureCause, std::vector<Kind>> cases = {
      {FailureCause::kStartDeadline, {Kind::kDeadline}},
      {FailureCause::kUnhealthy, {Kind::kSeenReady, Kind::kUnhealthy}},
      {FailureCause::kFatalLog, {Kind::kSeenReady, Kind::kFatalLog}},
      {FailureCause::kNoProgress, {Kind::kNoProgress}},
      {FailureCause::kExited, {Kind::kSeenReady}},
  };
  for (const auto& [cause, events] : cases) {
    Life life;
    life.on(Kind::kWantUp).on(Kind::kSpawned);
    for (const Kind kind : events) life.on(kind);
    life.on(Kind::kExited).on(Kind::kTreeEmpty);
    EXPECT_EQ(life.state().cause, cause) << name_of(cause);
    life.on(Kind::kDeadline);
    EXPECT_EQ(life.state().cause, FailureCause::kNone) << "a new run has none";
  }
}

TEST(ServiceState, TakesTheStepsOfAStopOneAfterTheOther) {
  Life life({.stop = {{.signal = SIGINT, .wait = 10s},
                      {.signal = SIGTERM, .wait = 60s, .to = StopStep::To::kGroup},
                      {.signal = SIGABRT, .wait = 5s, .to = StopStep::To::kTree}}});
  life.on(Kind::kWantUp).on(Kind::kSeenReady).on(Kind::kWantDown);
  for (const auto& [number, wait] : {std::pair{0u, 10s}, {1u, 60s}, {2u, 5s}}) {
    const auto& actions = life.last().actions;
    EXPECT_EQ(life.state().phase, Phase::kStopping);
    EXPECT_EQ(actions.back().kind, ServiceActionKind::kStopStep);
    EXPECT_EQ(actions.back().step, number);
    EXPECT_EQ(actions.at(actions.size() - 2).after, wait);
    life.after(wait).on(Kind::kDeadline);
  }
  EXPECT_EQ(life.state().phase, Phase::kKilling);
  // The next stop begins with the first step again.
  life.on(Kind::kExited).on(Kind::kTreeEmpty).on(Kind::kWantUp).on(Kind::kWantDown);
  EXPECT_EQ(life.last().actions.back().step, 0u);
}

TEST(ServiceState, GoesOnWhenAStepHasNothingMoreToWaitFor) {
  Life life({.stop = {{.wait = 60s, .to = StopStep::To::kHook}, {.signal = SIGTERM, .wait = 90s}}});
  life.on(Kind::kWantUp).on(Kind::kSeenReady).on(Kind::kWantDown);
  const std::uint64_t first = life.last().actions.back().generation;
  EXPECT_EQ(first, life.state().generation);
  life.on(Kind::kStopStepOver);
  EXPECT_EQ(life.last().actions.back().step, 1u);
  const ServiceStep late =
      step(life.state(), {.kind = Kind::kStopStepOver, .generation = first}, kStart, ServicePolicy{});
  EXPECT_EQ(actions_of(late), "") << "the news of a step whose time had passed before";
}

// A dead engine behind a live front never ends by itself; whoever it still streams to gets all of the time.
TEST(ServiceState, AFailedProcessHasLittleTimeToEndUnlessItServesSomebody) {
  const ServicePolicy policy{.stop = {{.wait = 25s}}, .failed_stop_wait = 10s};
  Life life(policy);
  life.on(Kind::kWantUp).on(Kind::kSeenReady).on(Kind::kUnhealthy);
  const auto& armed = life.last().actions;
  EXPECT_EQ(armed.at(armed.size() - 2).after, 10s);

  ServiceState state = life.state();
  TimePoint now = state.step_until - 15s;
  const auto look = [&](bool moving) {
    return step(state, {.kind = Kind::kDeadline, .generation = state.generation, .moving = moving}, now,
                policy);
  };
  EXPECT_EQ(look(false).state.phase, Phase::kKilling);
  ServiceStep prolonged = look(true);
  EXPECT_EQ(prolonged.state.phase, Phase::kStopping);
  EXPECT_EQ(actions_of(prolonged), "arm") << "the signal was sent";
  EXPECT_EQ(prolonged.actions[0].after, 10s);
  state = prolonged.state;
  now += 10s;
  prolonged = look(true);
  EXPECT_EQ(prolonged.actions.at(0).after, 5s) << "the step's own time is the limit";
  state = prolonged.state;
  now += 5s;
  EXPECT_EQ(look(true).state.phase, Phase::kKilling);
}

TEST(ServiceState, AStopThatIsAskedForAndAHookHaveAllOfTheirTime) {
  Life asked({.stop = {{.wait = 90s}}, .failed_stop_wait = 10s});
  asked.on(Kind::kWantUp).on(Kind::kSeenReady).on(Kind::kWantDown);
  EXPECT_EQ(asked.last().actions.at(1).after, 90s);
  Life hook({.stop = {{.wait = 60s, .to = StopStep::To::kHook}, {.wait = 5s}}, .failed_stop_wait = 10s});
  hook.on(Kind::kWantUp).on(Kind::kSeenReady).on(Kind::kUnhealthy);
  EXPECT_EQ(hook.last().actions.at(1).after, 60s);
  hook.on(Kind::kStopStepOver);
  EXPECT_EQ(hook.last().actions.at(0).after, 5s) << "shorter is shorter";
}

TEST(ServiceState, KillsAtOnceWithoutAnyStep) {
  Life life({.stop = {}});
  life.on(Kind::kWantUp).on(Kind::kWantDown);
  EXPECT_EQ(actions_of(life.last()), "arm kill");
}

TEST(ServiceState, GivesUpWhatCannotBeKilled) {
  Life life({.kill_timeout = 10s, .stuck_after = 25s});
  life.on(Kind::kWantUp).on(Kind::kWantDown).on(Kind::kHurry);
  for (int i = 0; i < 2; ++i) {
    life.after(10s).on(Kind::kDeadline);
    EXPECT_EQ(actions_of(life.last()), "report arm kill");
  }
  EXPECT_EQ(life.last().actions.at(1).after, 5s) << "the verdict doesn't wait for another turn";
  life.after(5s).on(Kind::kDeadline);
  EXPECT_EQ(life.state().phase, Phase::kStuck);
  EXPECT_EQ(actions_of(life.last()), "report disarm give_up");
}

TEST(ServiceState, GivesUpWhatNoSweepCanEnd) {
  Life life({.sweep_retry = 5s, .stuck_after = 12s});
  life.on(Kind::kWantUp).on(Kind::kExited);
  for (int i = 0; i < 3; ++i) {
    life.after(5s).on(Kind::kTreeSurvives).on(Kind::kDeadline);
    EXPECT_EQ(life.state().phase, Phase::kSweeping);
  }
  life.after(1s).on(Kind::kTreeSurvives);
  EXPECT_EQ(life.last().actions.at(1).after, 1s);
  life.on(Kind::kDeadline).after(1s).on(Kind::kTreeSurvives);
  EXPECT_EQ(life.state().phase, Phase::kStuck);
  EXPECT_EQ(actions_of(life.last()), "report disarm give_up");
}

// Time that a leader had withstood SIGKILL counts, when what it left does so, too.
TEST(ServiceState, CountsFromTheFirstSigkill) {
  Life life({.kill_timeout = 10s, .sweep_retry = 5s, .stuck_after = 25s});
  life.on(Kind::kWantUp).on(Kind::kWantDown).on(Kind::kHurry);
  for (int i = 0; i < 2; ++i) life.after(10s).on(Kind::kDeadline);
  life.on(Kind::kExited).after(5s).on(Kind::kTreeSurvives);
  EXPECT_EQ(life.state().phase, Phase::kStuck);
}

// Between the leader's end and the first answer a hook may have run, and left something of its own.
TEST(ServiceState, CountsFromTheFirstSurvivorAndNotFromTheLeadersEnd) {
  for (const bool killed : {false, true}) {
    Life life({.sweep_retry = 5s, .stuck_after = 2min});
    life.on(Kind::kWantUp);
    if (killed) life.on(Kind::kWantDown).on(Kind::kHurry);
    life.on(Kind::kExited).after(10min).on(Kind::kTreeSurvives);
    EXPECT_EQ(life.state().phase, Phase::kSweeping);
    life.after(119s).on(Kind::kTreeSurvives);
    EXPECT_EQ(life.state().phase, Phase::kSweeping);
    life.after(2s).on(Kind::kTreeSurvives);
    EXPECT_EQ(life.state().phase, Phase::kStuck);
  }
}

TEST(ServiceState, SweepsAlsoWhatAHookHasLeftBeforeTheProcess) {
  Life life({.sweep_retry = 5s, .stuck_after = 12s});
  life.on(Kind::kWantUp).on(Kind::kTreeSurvives);
  EXPECT_EQ(life.state().cause, FailureCause::kSpawnFailed);
  life.after(5s).on(Kind::kDeadline);
  EXPECT_EQ(actions_of(life.last()), "sweep");
  Life gone = life;
  gone.on(Kind::kTreeEmpty);
  EXPECT_EQ(gone.state().phase, Phase::kBackoff);
  life.after(8s).on(Kind::kTreeSurvives);
  EXPECT_EQ(life.state().phase, Phase::kStuck);
}

TEST(ServiceState, AStartThatTookTooLongIsThatAlsoWhereNothingWasLaunchedYet) {
  Life life;
  life.on(Kind::kWantUp);
  life.after(1h).on(Kind::kDeadline).on(Kind::kSpawnFailed);
  EXPECT_EQ(life.state().cause, FailureCause::kStartDeadline);
  for (int i = 0; i < 2; ++i) life.on(Kind::kDeadline).after(1h).on(Kind::kDeadline).on(Kind::kSpawnFailed);
  EXPECT_EQ(life.state().phase, Phase::kGaveUp) << "its rule is met";
}

TEST(ServiceState, HasANameForEverything) {
  for (const Phase phase : kServicePhases) EXPECT_NE(name_of(phase), "?");
  for (const Kind kind : kServiceEventKinds) EXPECT_NE(name_of(kind), "?");
  for (const FailureCause cause : kFailureCauses) EXPECT_NE(name_of(cause), "?");
}

}  // namespace
}  // namespace cppworker
