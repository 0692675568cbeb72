// This process's share of the places at the inference server, where another proxy serves beside it
// (metrics/ledger_places.hpp). Default-constructed: there is no other, and its limit is its own business.
//
// Threads: one at a time, under the lock of the admission that it belongs to.
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <optional>
#include <utility>

#include "metrics/ledger.hpp"

namespace cppworker {

class PlaceShare {
 public:
  using Clock = std::chrono::steady_clock;  // all processes' one

  struct With {
    std::uint64_t owner = 0;            // of this process's entries in the ledger; 0: shared with nobody
    std::function<void()> tell_others;  // thread-safe: has the other proxies look whether they may go on
  };

  PlaceShare() = default;
  // `group`: ledger_layout::place_group() of what is limited.
  PlaceShare(Ledger& ledger, std::size_t group, With with)
      : ledger_(&ledger), group_(group), with_(std::move(with)) {}

  // Of `limit` places this process has `inside` now, and wants another one for who has waited since
  // `wanted_since`, if anybody. Whether it may have it.
  bool update(std::size_t limit, std::size_t inside, std::optional<Clock::time_point> wanted_since) {
    if (ledger_ == nullptr || with_.owner == 0) return wanted_since && inside < limit;
    PlaceClaim claim;
    claim.group = group_;
    claim.owner = with_.owner;
    claim.limit = limit;
    claim.inside = inside;
    claim.wanted_since =
        wanted_since ? std::chrono::nanoseconds(wanted_since->time_since_epoch()).count() : 0;
    PlaceAnswer answer = ledger_->share_places(claim);
    to_be_told_ = to_be_told_ || answer.tell_others;
    return answer.granted;
  }

  // Whether the others are to be told since this was asked last. The telling may wait for the supervisor, and
  // is better done without a lock.
  bool take_to_be_told() { return std::exchange(to_be_told_, false); }
  void tell_others() const { with_.tell_others(); }

 private:
  Ledger* ledger_ = nullptr;
  std::size_t group_ = 0;
  With with_;
  bool to_be_told_ = false;
};

}  // namespace cppworker
