#include "metrics/numbering_watch.hpp"

namespace cppworker {

std::optional<std::string> NumberingWatch::too_old(std::uint64_t reqnum, std::uint64_t highest, Time now) {
  const int row = in_a_row_.fetch_add(1, std::memory_order_relaxed) + 1;
  if (row < kSuspicious) return std::nullopt;
  const std::lock_guard lock(mutex_);
  if (warned_ && now - *warned_ < kPause) return std::nullopt;
  warned_ = now;
  in_a_row_.store(0, std::memory_order_relaxed);
  return "reqnum " + std::to_string(reqnum) + " is far below the window's " + std::to_string(highest) +
         ", as all of the last " + std::to_string(row) +
         " were: has the autoscaler's numbering restarted? Such requests are refused (401), as old ones that "
         "somebody sends again would be; if it has, stop the worker, remove the file ledger of its run "
         "directory, and start it again";
}

}  // namespace cppworker
