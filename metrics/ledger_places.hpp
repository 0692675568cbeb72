// The places at an inference server that takes only so many requests at once, shared by proxies that serve
// side by side: one takes over from another, which still finishes what it has, and neither knows the other's
// requests.
//
// Each proxy enters into a table, for each limit, how many of its requests are inside and since when the
// first of its queue has been waiting. Whoever wants another place gets it when all together are below the
// limit and nobody has been waiting for longer: so the places go by age, whichever proxy a request came to. A
// proxy that leaves a place free for another tells it so (common/worker_state.hpp, ProxyNotice::kTellOthers).
//
// Figures are absolute, each proxy's its own: entering them twice is entering them once, and those of a dead
// one are wiped out as a whole when it is settled.
//
// Pure over the transaction: no lock, no clock, no file. ledger.hpp puts these under the lock and commits.
#pragma once

#include <cstdint>
#include <functional>

#include "metrics/ledger_transaction.hpp"

namespace cppworker {

struct PlaceClaim {
  std::size_t group = 0;          // which limit: ledger_layout::place_group()
  std::uint64_t owner = 0;        // the proxy's instance id, not 0
  std::uint64_t limit = 1;        // of requests at the server at once
  std::uint64_t inside = 0;       // the owner's, before it gets another place
  std::int64_t wanted_since = 0;  // nanoseconds of the monotonic clock; 0: it wants no other place
};

struct PlaceAnswer {
  bool granted = false;      // the owner has inside + 1 now
  bool tell_others = false;  // places are free, and others want them
};

// Enters the owner's figures, and gives it one more place if it wants one and may have it. With more owners
// than the table has room for, who finds none goes by its own figures alone.
PlaceAnswer share_places(LedgerTransaction& books, const PlaceClaim& claim);

// Wipes out what dead proxies had.
void free_places(LedgerTransaction& books, std::size_t group,
                 const std::function<bool(std::uint64_t owner)>& dead);

}  // namespace cppworker
