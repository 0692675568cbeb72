// Decides when the next worker_status is due: every second when something changed, else every ten, and at
// once when asked (protocol, section 4).
//
// Pure: the caller brings the time. Counted from when a report was begun, whether or not it got through.
#pragma once

#include <chrono>
#include <optional>

namespace cppworker {

struct ReportTimes {
  std::chrono::milliseconds changed{1000};     // at most this often while something changes
  std::chrono::milliseconds heartbeat{10000};  // at least this often: silence means dead
};

class ReportSchedule {
 public:
  using Time = std::chrono::steady_clock::time_point;

  explicit ReportSchedule(ReportTimes times) : times_(times) {}

  void ask() { asked_ = true; }
  bool asked() const { return asked_; }
  bool due(Time now, bool changed) const;
  void begun(Time now);

 private:
  ReportTimes times_;
  std::optional<Time> last_;
  bool asked_ = false;
};

}  // namespace cppworker
