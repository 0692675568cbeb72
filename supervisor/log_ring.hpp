// The last lines of a log, in memory: for an error report, and for whoever asks.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <string_view>

namespace cppworker {

class LogRing {
 public:
  // A screenful or four: a Python traceback with its cause, and what led there.
  static constexpr std::size_t kLines = 200;
  // Keeps the whole under 1 MiB. The file has the full line.
  static constexpr std::size_t kLongestLine = 4 << 10;

  void append(std::string_view line) {
    if (lines_.size() == kLines) lines_.pop_front();
    lines_.emplace_back(line.substr(0, kLongestLine));
    ++appended_;
  }

  const std::deque<std::string>& lines() const { return lines_; }  // oldest first
  std::uint64_t appended() const { return appended_; }             // lines, since the beginning

 private:
  std::deque<std::string> lines_;
  std::uint64_t appended_ = 0;
};

}  // namespace cppworker
