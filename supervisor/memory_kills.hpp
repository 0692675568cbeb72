// Whether processes were killed for lack of memory: the kernel counts them for each control group, in
// memory.events (cgroup v2) or in memory.oom_control (v1, where Linux 4.13 and later count).
//
// Any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

namespace cppworker {

// How many of the group's processes so far; nullopt when nobody counts.
std::optional<std::uint64_t> memory_kills(const std::string& folder);

// Whether the count has risen of late. The group may be all of the instance's, and a run last for weeks: what
// died for lack of memory last week says nothing about a death of today.
class RecentMemoryKills {
 public:
  using TimePoint = std::chrono::steady_clock::time_point;
  // At least, and twice that at the most. A launcher whose worker was killed takes a while to end by itself.
  static constexpr std::chrono::seconds kWindow{15};

  // A launch begins, with that count.
  void begin(std::optional<std::uint64_t> count, TimePoint now) {
    earlier_ = later_ = count;
    later_at_ = now;
  }
  // Told every few seconds.
  void counted(std::optional<std::uint64_t> count, TimePoint now) {
    if (now - later_at_ < kWindow) return;
    earlier_ = later_;
    later_ = count;
    later_at_ = now;
  }
  bool any(std::optional<std::uint64_t> count) const { return count && earlier_ && *count > *earlier_; }

 private:
  std::optional<std::uint64_t> earlier_, later_;
  TimePoint later_at_{};
};

// The folder of a process's own group in the v1 hierarchy of `controller`, from the texts of
// /proc/self/mountinfo and /proc/self/cgroup; nullopt where there is none. In a container both name the same
// group: by its path on the host, or, in a namespace of its own, as the root.
std::optional<std::string> cgroup_v1_folder(std::string_view mountinfo, std::string_view membership,
                                            std::string_view controller);

// The folder of our own group, in the hierarchy that counts; empty where none does.
std::string own_memory_group();

}  // namespace cppworker
