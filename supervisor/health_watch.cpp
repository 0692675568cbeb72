#include "supervisor/health_watch.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>

#include "common/logging.hpp"
#include "launchers/payload_template.hpp"

namespace cppworker {
namespace {

// While the server is awaited, which answers milliseconds after its ready line: often at first, and then the
// more rarely the longer it takes. An image's "please wait" page would be progress if it were read ten times
// a second for an hour; so the wait costs a load a tenth of its time at the most.
constexpr std::chrono::milliseconds kShortestProbeWhileAwaited{100}, kLongestProbeWhileAwaited{2000};
constexpr int kShareOfTheWait = 10;
// How often the traffic is looked at: well below the shortest stall, a second.
constexpr std::chrono::milliseconds kSampleInterval{500};

LadderPolicy complete(HealthWatchSetup& setup) {
  if (setup.main) setup.ladder.probes.push_back(*setup.main);
  for (const ProbeDefinition& probe : setup.others) setup.ladder.probes.push_back(probe);
  setup.ladder.has_canary = setup.canary.has_value();
  if (setup.canary) setup.ladder.canary_interval = setup.canary->interval;
  return setup.ladder;
}

std::string seconds_since(std::chrono::steady_clock::time_point then) {
  const auto passed = std::chrono::steady_clock::now() - then;
  return std::to_string(std::chrono::duration_cast<std::chrono::seconds>(passed).count()) + " s";
}

// A loop that throws is a bug: the worker ends, and whatever keeps the instance alive starts it again.
void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

}  // namespace

HealthWatch::HealthWatch(asio::io_context& io, HealthWatchSetup setup)
    : io_(io), setup_(std::move(setup)), ladder_(complete(setup_)) {
  for (std::size_t i = 0; i < 2 + setup_.others.size(); ++i)
    timers_.push_back(std::make_unique<asio::steady_timer>(io));
  for (const ProbeDefinition& probe : setup_.others)
    if (probe.kind == ProbeDefinition::Kind::kLogPattern)
      awaited_lines_[&probe].pattern = std::make_unique<re2::RE2>(probe.log, re2::RE2::Quiet);
}

void HealthWatch::run() {
  asio::co_spawn(io_, ask_main(), rethrow);
  asio::co_spawn(io_, sample(), rethrow);
  for (std::size_t i = 0; i < setup_.others.size(); ++i) asio::co_spawn(io_, ask_other(i), rethrow);
}

void HealthWatch::hurry() {
  for (const auto& timer : timers_) timer->cancel();
}

void HealthWatch::launched() {
  ++launch_;
  awaited_since_.reset();
  good_in_a_row_ = 0;
  last_line_ = std::chrono::steady_clock::now();
  for (auto& [probe, line] : awaited_lines_) line.seen = last_line_;
  ladder_.gone();
  timers_.front()->cancel();
}

void HealthWatch::saw_line(std::string_view line) {
  last_line_ = std::chrono::steady_clock::now();
  for (auto& [probe, awaited] : awaited_lines_)
    if (re2::RE2::PartialMatch(line, *awaited.pattern)) awaited.seen = last_line_;
}

void HealthWatch::ready() {
  ladder_.ready(setup_.pulse ? setup_.pulse() : Pulse{}, std::chrono::steady_clock::now());
  // While it loaded no such line was due.
  for (auto& [probe, line] : awaited_lines_) line.seen = std::chrono::steady_clock::now();
  // The main one has just been asked; the others begin their intervals now.
  for (std::size_t i = 2; i < timers_.size(); ++i) timers_[i]->cancel();
}

void HealthWatch::gone() {
  ladder_.gone();
}

void HealthWatch::saw_fatal_line(std::string_view pattern) {
  if (!ladder_.armed()) return;
  ladder_.saw_fatal_line(pattern, std::chrono::steady_clock::now());
  hurry();
}

void HealthWatch::judge() {
  if (ladder_.armed()) setup_.judged(ladder_.judge(std::chrono::steady_clock::now()));
}

Awaitable<HealthAnswer> HealthWatch::ask(const ProbeDefinition& probe) {
  HealthAnswer answer;
  switch (probe.kind) {
    case ProbeDefinition::Kind::kHttp: {
      HealthProbe question;
      question.server = setup_.server;
      question.path = probe.path;
      question.timeout = probe.timeout;
      question.expected_status = probe.status;
      question.expect_json = probe.expect_json;
      question.body = probe.body;
      answer = co_await probe_health(std::move(question));
      break;
    }
    case ProbeDefinition::Kind::kTcp: {
      answer = co_await probe_port(setup_.server, probe.timeout);
      break;
    }
    case ProbeDefinition::Kind::kCommand: {
      Awaitable<HealthAnswer> asking = setup_.ask_command(probe);
      answer = co_await std::move(asking);
      command_pause_.tried(!answer.not_started, answer.took, std::chrono::steady_clock::now());
      break;
    }
    case ProbeDefinition::Kind::kLogSilence: {
      if (std::chrono::steady_clock::now() - last_line_ < probe.silence) answer.health = Health::kHealthy;
      answer.reason = "no line in its log for " + seconds_since(last_line_);
      break;
    }
    case ProbeDefinition::Kind::kLogPattern: {
      const auto seen = awaited_lines_.at(&probe).seen;
      if (std::chrono::steady_clock::now() - seen < probe.silence) answer.health = Health::kHealthy;
      answer.reason = "no line in its log matches \"" + probe.log + "\" for " + seconds_since(seen);
      break;
    }
  }
  co_return answer;
}

bool HealthWatch::may_ask(const ProbeDefinition& probe) const {
  return probe.kind != ProbeDefinition::Kind::kCommand ||
         !command_pause_.holds(std::chrono::steady_clock::now());
}

Awaitable<> HealthWatch::ask_main() {
  asio::steady_timer& timer = *timers_[0];
  while (true) {
    const bool awaited = setup_.awaited();
    if ((awaited || ladder_.armed()) && (!setup_.main || may_ask(*setup_.main))) {
      const std::uint64_t launch = launch_;
      if (!awaited_since_) awaited_since_ = std::chrono::steady_clock::now();
      HealthAnswer answer;
      answer.health = Health::kHealthy;  // without a probe the log alone decides
      if (setup_.main) answer = co_await ask(*setup_.main);
      if (launch == launch_ && ladder_.armed()) {
        if (setup_.main) ladder_.probed(0, answer.ok(), answer.reason, std::chrono::steady_clock::now());
        judge();
      } else if (launch == launch_) {
        good_in_a_row_ = answer.ok() ? good_in_a_row_ + 1 : 0;
        setup_.answered(good_in_a_row_ >= (setup_.main ? setup_.main->successes : 1));
      }
    }
    const std::chrono::milliseconds interval = setup_.main ? setup_.main->interval : std::chrono::seconds(10);
    timer.expires_after(ladder_.armed() ? interval : wait_while_awaited());
    co_await timer.async_wait(kTuple);
  }
}

std::chrono::milliseconds HealthWatch::wait_while_awaited() const {
  if (!awaited_since_) return kShortestProbeWhileAwaited;
  const auto waited = std::chrono::duration_cast<std::chrono::milliseconds>(std::chrono::steady_clock::now() -
                                                                            *awaited_since_);
  return std::clamp(waited / kShareOfTheWait, kShortestProbeWhileAwaited, kLongestProbeWhileAwaited);
}

Awaitable<> HealthWatch::ask_other(std::size_t number) {
  const ProbeDefinition& probe = setup_.others[number];
  const std::size_t row = number + (setup_.main ? 1 : 0);
  asio::steady_timer& timer = *timers_[2 + number];
  while (true) {
    timer.expires_after(probe.interval);
    co_await timer.async_wait(kTuple);
    if (!ladder_.armed() || !may_ask(probe)) continue;
    const std::uint64_t launch = launch_;
    HealthAnswer answer = co_await ask(probe);
    if (launch != launch_ || !ladder_.armed()) continue;
    ladder_.probed(row, answer.ok(), answer.reason, std::chrono::steady_clock::now());
    judge();
  }
}

Awaitable<> HealthWatch::sample() {
  asio::steady_timer& timer = *timers_[1];
  while (true) {
    if (ladder_.armed()) {
      const auto now = std::chrono::steady_clock::now();
      if (setup_.pulse) ladder_.sampled(setup_.pulse(), now);
      if (!canary_runs_ && ladder_.wants_canary(now)) {
        canary_runs_ = true;
        asio::co_spawn(io_, send_canary(), rethrow);
      }
      judge();
    }
    timer.expires_after(kSampleInterval);
    co_await timer.async_wait(kTuple);
  }
}

Awaitable<> HealthWatch::send_canary() {
  const std::uint64_t launch = launch_;
  auto payload = PayloadTemplate::compile(setup_.canary->payload, random_());
  HttpRequest request;
  request.method = "POST";
  request.server = setup_.server;
  request.target = setup_.canary->endpoint;
  request.content_type = "application/json";
  request.body = payload->expand();  // the definition was refused if it doesn't compile
  HealthAnswer answer =
      co_await probe_by_request(std::move(request), setup_.canary_failure_lines, setup_.canary->timeout);
  canary_runs_ = false;
  if (launch != launch_ || !ladder_.armed()) co_return;
  if (!answer.ok()) spdlog::warn("Canary to {}: {}", setup_.canary->endpoint, printable(answer.reason));
  ladder_.canary_answered(answer.ok(), answer.reason, std::chrono::steady_clock::now());
  judge();
}

}  // namespace cppworker
