#include "metrics/replay_window.hpp"

namespace cppworker {
namespace {

bool empty(const ReplayWindow& window) {
  return (window.bits[0] & 1) == 0;
}

std::array<std::uint64_t, 2> shifted_up(std::array<std::uint64_t, 2> bits, std::uint64_t by) {
  if (by >= 128) return {0, 0};
  if (by >= 64) return {0, bits[0] << (by - 64)};
  if (by == 0) return bits;
  return {bits[0] << by, bits[1] << by | bits[0] >> (64 - by)};
}

}  // namespace

ReplayVerdict judge(const ReplayWindow& window, std::uint64_t reqnum) {
  if (empty(window) || reqnum > window.highest) return ReplayVerdict::kFresh;
  std::uint64_t age = window.highest - reqnum;
  if (age > kReplayReach) return ReplayVerdict::kStale;
  bool seen = window.bits[age / 64] >> (age % 64) & 1;
  return seen ? ReplayVerdict::kReplayed : ReplayVerdict::kFresh;
}

ReplayWindow remember(ReplayWindow window, std::uint64_t reqnum) {
  if (empty(window)) return {reqnum, {1, 0}};
  if (reqnum > window.highest) {
    window.bits = shifted_up(window.bits, reqnum - window.highest);
    window.bits[0] |= 1;
    window.highest = reqnum;
    return window;
  }
  std::uint64_t age = window.highest - reqnum;
  if (age <= kReplayReach) window.bits[age / 64] |= std::uint64_t{1} << (age % 64);
  return window;
}

}  // namespace cppworker
