// When a launched server counts as ready: both its log and its HTTP side say so, while it lives.
//
// Neither alone will do: TGI prints "Connected" before it binds its port; other images answer 200 from a
// waiting page before the model loads. What was seen counts until the next launch (ready lines may repeat, or
// never come again), except health, of which the last answer counts.
#pragma once

namespace cppworker {

class Readiness {
 public:
  // Without a ready pattern health alone decides.
  explicit Readiness(bool has_ready_pattern) : has_ready_pattern_(has_ready_pattern) {}

  void launched() {
    alive_ = true;
    line_seen_ = false;
    healthy_ = false;
  }
  void exited() { alive_ = false; }
  // Output of a dead server's descendants doesn't make it ready.
  void saw_ready_line() { line_seen_ = line_seen_ || alive_; }
  void answered(bool healthy) { healthy_ = healthy && alive_; }

  // Worth asking the server at all: before its ready line a probe only fills its log.
  bool awaits_health() const { return alive_ && log_agrees() && !healthy_; }
  bool ready() const { return alive_ && log_agrees() && healthy_; }

 private:
  bool log_agrees() const { return line_seen_ || !has_ready_pattern_; }

  bool has_ready_pattern_;
  bool alive_ = false;
  bool line_seen_ = false;
  bool healthy_ = false;
};

}  // namespace cppworker
