// Asks a running server for its health, in all the ways that its definition names, and says what the answers
// come to: the effects around health_ladder.hpp.
//
// The first probe is asked as soon as the owner awaits its answer, often at first; all others, the sampling
// of the traffic and the canary begin with ready(). Answers that belong to an earlier launch are dropped.
// Threads: the supervisor's loop; run()'s loops go on as long as that does.
#pragma once

#include <re2/re2.h>

#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <vector>
#include <boost/asio/steady_timer.hpp>

#include "common/async.hpp"
#include "common/url.hpp"
#include "launchers/backend_definition.hpp"
#include "supervisor/command_pause.hpp"
#include "supervisor/health_ladder.hpp"
#include "supervisor/health_probe.hpp"

namespace cppworker {

struct HealthWatchSetup {
  std::optional<ProbeDefinition> main;  // without one the log alone decides about the first ready
  std::vector<ProbeDefinition> others{};
  LadderPolicy ladder{};  // its probes are filled in here
  std::optional<CanaryDefinition> canary{};
  std::vector<std::string> canary_failure_lines{};
  Url server{};

  // Asks by that command.
  std::function<Awaitable<HealthAnswer>(const ProbeDefinition& probe)> ask_command{};
  std::function<Pulse()> pulse{};                  // empty: nothing is known of the traffic
  std::function<bool()> awaited{};                 // whether the first probe's answer is wanted before ready
  std::function<void(bool well)> answered{};       // that answer; well: `successes` good ones in a row
  std::function<void(const Judgement&)> judged{};  // after ready, whenever something was seen
};

class HealthWatch {
 public:
  HealthWatch(asio::io_context& io, HealthWatchSetup setup);

  // Starts its loops.
  void run();

  void launched();  // a new process: it is asked at once
  void ready();
  void gone();

  // Whether the server works on one request at a time; it may change while it runs.
  void set_serial(bool serial) { ladder_.set_serial(serial); }

  void saw_line(std::string_view line);
  void saw_fatal_line(std::string_view pattern);

 private:
  Awaitable<> ask_main();
  Awaitable<> ask_other(std::size_t number);
  Awaitable<> sample();
  Awaitable<> send_canary();
  Awaitable<HealthAnswer> ask(const ProbeDefinition& probe);
  bool may_ask(const ProbeDefinition& probe) const;
  std::chrono::milliseconds wait_while_awaited() const;
  void judge();
  void hurry();

  asio::io_context& io_;
  HealthWatchSetup setup_;
  HealthLadder ladder_;
  std::uint64_t launch_ = 0;
  int good_in_a_row_ = 0;                                                 // of the first probe, before ready
  std::optional<std::chrono::steady_clock::time_point> awaited_since_{};  // in this launch
  bool canary_runs_ = false;
  CommandPause command_pause_;
  std::chrono::steady_clock::time_point last_line_{};
  // A line that a probe waits for, and when it came last; or when the launch began.
  struct AwaitedLine {
    std::unique_ptr<re2::RE2> pattern;
    std::chrono::steady_clock::time_point seen{};
  };
  std::map<const ProbeDefinition*, AwaitedLine> awaited_lines_;
  std::vector<std::unique_ptr<asio::steady_timer>> timers_;  // of the loops: cancelled to look at once
  std::mt19937 random_{std::random_device{}()};
};

}  // namespace cppworker
