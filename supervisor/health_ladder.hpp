// When a server that was ready counts as unwell, and when it is restarted: from probes, from the bytes of the
// requests that it has, from a canary request, from its own errors and from its log.
//
// Pure: fed with what was seen and when; judge() decides. The rules, in short:
//
//   bytes flow       while a good answer's bytes flow, bad answers to probes aren't counted: a busy server
//                    answers them late, and killing it would cost every request in flight. What waits in
//                    the proxy, for its turn or for the server's return, isn't one that the server has
//   a probe fails    unready_failures in a row: nothing new is let in; failures in a row: restart
//   stalled          it has requests and gives no good byte for `stall`: bad probes count, and the canary is
//                    sent. It is one silence also where a client gives up in vain, and the next one comes
//   idle             no request, and the canary is sent once in its interval after the last good byte
//   its own errors   errors_in_a_row without a good answer between them: the canary decides, without one it
//                    is restarted. A server that works on one at a time gets nothing new until the canary has
//                    had its turn, and is restarted where that takes longer than `stall`
//   a fatal line     a pattern of fatal_after_ready: believed only when within kFatalWindow a probe fails
//                    unready_failures times in a row, the canary fails, or kErrorsWithFatalLine answers in
//                    a row are errors and there is no canary. A client can make a server print a line; he
//                    can't make it ill with one, nor turn one lost probe into a restart.
//
// A good answer of the canary outweighs stall, errors and line; good bytes outweigh bad probes.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <vector>

#include "launchers/watch_definition.hpp"
#include "metrics/ledger_snapshot.hpp"
#include "supervisor/service_state.hpp"

namespace cppworker {

enum class Standing { kWell, kUnready, kRestart };

struct Judgement {
  Standing standing = Standing::kWell;
  bool by_log = false;  // a fatal line is what it comes from
  std::string reason;   // empty when well
};

struct LadderPolicy {
  std::vector<ProbeDefinition> probes;
  std::chrono::seconds stall{120};
  int errors_in_a_row = 10;
  bool has_canary = false;
  std::chrono::seconds canary_interval{60};
  // One at a time: a canary would wait behind the request in flight, and its lateness would say nothing.
  bool serial = false;
};

class HealthLadder {
 public:
  // Two of an ordinary probe's intervals, and its timeout.
  static constexpr std::chrono::seconds kFatalWindow{30};
  static constexpr int kErrorsWithFatalLine = 3;
  // A canary that failed, or whose good answer didn't end the suspicion, is sent again after this.
  static constexpr std::chrono::seconds kCanaryRetry{10};

  explicit HealthLadder(LadderPolicy policy);

  // Until the first, and after gone(), it is well whatever comes.
  void ready(const Pulse& pulse, TimePoint now);
  void gone() { armed_ = false; }
  void set_serial(bool serial) { policy_.serial = serial; }
  bool armed() const { return armed_; }

  void sampled(const Pulse& pulse, TimePoint now);  // about once a second
  void probed(std::size_t probe, bool good, std::string_view reason, TimePoint now);
  void canary_answered(bool good, std::string_view reason, TimePoint now);
  void saw_fatal_line(std::string_view pattern, TimePoint now);

  bool wants_canary(TimePoint now) const;
  Judgement judge(TimePoint now) const;

  bool busy(TimePoint now) const { return pulse_.at_server > 0 && !stalled(now); }
  bool stalled(TimePoint now) const { return pulse_.at_server > 0 && silence(now) >= policy_.stall; }

 private:
  struct Row {  // of answers to one probe
    int failures = 0, successes = 0;
    bool unready = false;
    std::string reason;
  };
  int errors() const { return static_cast<int>(pulse_.upstream_failures - errors_before_); }
  bool erring() const { return errors() >= policy_.errors_in_a_row; }
  // How long it has had requests, all together, since the last good byte or good canary.
  TimePoint::duration silence(TimePoint now) const {
    return pulse_.at_server > 0 ? silence_ + (now - sampled_at_) : silence_;
  }
  bool fatal_line_stands(TimePoint now) const {
    return !fatal_pattern_.empty() && now - fatal_at_ <= kFatalWindow;
  }
  // Why nobody believes in the server, probes aside; empty when there is no reason.
  std::string suspicion(TimePoint now) const;
  bool restarts(const Row& row, std::size_t probe) const;

  LadderPolicy policy_;
  bool armed_ = false;
  std::vector<Row> rows_;
  Row canary_;
  Pulse pulse_;
  std::uint64_t errors_before_ = 0;  // upstream_failures at the last good answer
  TimePoint erring_at_{};            // when the row of errors that stands had got long enough
  TimePoint sampled_at_{};
  TimePoint::duration silence_{};  // up to then
  TimePoint good_at_{};            // when a good byte came last
  TimePoint canary_at_{};          // when it answered last, or failed to
  std::string fatal_pattern_;
  TimePoint fatal_at_{};
};

}  // namespace cppworker
