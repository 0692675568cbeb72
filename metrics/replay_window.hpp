// Decides whether a signed request was seen before: a window over reqnum, as words that the ledger keeps.
//
// Rule (protocol, section 2): a reqnum below the highest accepted one minus 100 is stale; within those 101
// each is accepted once; above, the window moves up. It never forgets inside itself, unlike a list of recent
// messages, which an attacker empties by filling it.
//
// Only for reqnums that a signature covers: a client that could choose its own would move the window past
// everyone else's.
#pragma once

#include <array>
#include <cstdint>

namespace cppworker {

// How far below the highest accepted reqnum a request may come late.
inline constexpr std::uint64_t kReplayReach = 100;

struct ReplayWindow {
  std::uint64_t highest = 0;
  // Bit i (of 128, lowest word first) is set when highest - i was accepted. Bit 0 is always set, except
  // before the first request.
  std::array<std::uint64_t, 2> bits{};

  bool operator==(const ReplayWindow&) const = default;
};

enum class ReplayVerdict { kFresh, kReplayed, kStale };

ReplayVerdict judge(const ReplayWindow& window, std::uint64_t reqnum);

// The window after `reqnum`, which was judged fresh.
ReplayWindow remember(ReplayWindow window, std::uint64_t reqnum);

}  // namespace cppworker
