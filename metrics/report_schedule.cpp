#include "metrics/report_schedule.hpp"

namespace cppworker {

bool ReportSchedule::due(Time now, bool changed) const {
  if (asked_ || !last_) return true;
  return now - *last_ >= (changed ? times_.changed : times_.heartbeat);
}

void ReportSchedule::begun(Time now) {
  last_ = now;
  asked_ = false;
}

}  // namespace cppworker
