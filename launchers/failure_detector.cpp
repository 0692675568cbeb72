#include "launchers/failure_detector.hpp"

#include <algorithm>

namespace cppworker {

FailureDetector::FailureDetector(const std::vector<std::string>& lines) : lines_(lines) {
  for (const std::string& line : lines_) longest_ = std::max(longest_, line.size());
}

void FailureDetector::scan(std::string_view piece) {
  while (!piece.empty()) {
    std::size_t end = piece.find('\n');
    bool line_ends = end != std::string_view::npos;
    std::string_view line = piece.substr(0, end);
    if (!passed_) {
      start_.append(line.substr(0, longest_ - start_.size()));
      for (const std::string& wanted : lines_)
        if (start_.starts_with(wanted)) {
          found_ = true;
          return;
        }
      passed_ = start_.size() == longest_;
    }
    if (!line_ends) return;
    start_.clear();
    passed_ = false;
    piece.remove_prefix(end + 1);
  }
}

}  // namespace cppworker
