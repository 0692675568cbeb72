// Whether a server that loads gets anywhere: by its log, and by what its processes read, write, receive and
// compute. A download of hours lives; a server that hangs doesn't have to wait for the end of its deadline.
//
// Pure: fed with lines and measurements and their times. What counts as progress:
//
//   a log line that wasn't there before, whatever its numbers: TGI prints "Waiting for shard to be ready..."
//   with a new time every 10 s, also when it waits for ever;
//   bytes read and written, network bytes, CPU time, each above the rate of a process that merely waits. The
//   network's only of connections that were opened from here: uploads to a worker that loads are no download.
#pragma once

#include <chrono>
#include <cstdint>
#include <deque>
#include <map>
#include <string>
#include <string_view>

#include "supervisor/process_tree.hpp"
#include "supervisor/service_state.hpp"

namespace cppworker {

// What a tree has done so far; all of it only grows, as long as a process lives.
struct TreeActivity {
  struct Process {
    std::uint64_t bytes = 0;  // read and written, by its own count and by the disk's
    double cpu_seconds = 0;
  };
  std::map<ProcessKey, Process> processes;
  // Over the network: by the kernel's number of a connection that was opened from here, or of all together.
  std::map<std::uint64_t, std::uint64_t> received_bytes;
  static constexpr std::uint64_t kAllInterfaces = 0;
};

// Per second, between two looks.
struct ActivityRates {
  double bytes = 0, received_bytes = 0, cpu = 0;
};
ActivityRates rates_between(const TreeActivity& before, const TreeActivity& after, double seconds);

class StartupWatch {
 public:
  // A waiting Python process with its threads uses a percent of a core; a load or a compilation uses one
  // whole.
  static constexpr double kLeastCpu = 0.05;
  // Waiting programs look into files and print a line now and then; at this rate 10 GB take a week.
  static constexpr double kLeastBytes = 16 << 10;
  // More than reports and the answers to them, and than what strangers knock at the public port, which is
  // among all interfaces' bytes.
  static constexpr double kLeastReceived = 128 << 10;
  // A waiting server repeats a few lines.
  static constexpr std::size_t kRememberedLines = 256;

  explicit StartupWatch(std::chrono::seconds no_progress) : limit_(no_progress) {}

  void launched(TimePoint now);
  void saw_line(std::string_view line, TimePoint now);
  void measured(TreeActivity activity, TimePoint now);

  // How long nothing has moved.
  std::chrono::milliseconds quiet(TimePoint now) const {
    return std::chrono::duration_cast<std::chrono::milliseconds>(now - moved_at_);
  }
  bool stalled(TimePoint now) const { return now - moved_at_ >= limit_; }
  const ActivityRates& rates() const { return rates_; }
  // "no new log line, 12 bytes/s read or written, …", for the message.
  std::string explain(TimePoint now) const;

 private:
  const std::chrono::seconds limit_;
  TimePoint moved_at_{}, measured_at_{};
  bool has_measured_ = false;
  TreeActivity last_;
  ActivityRates rates_;
  std::deque<std::size_t> seen_;  // digests of lines without their numbers
};

}  // namespace cppworker
