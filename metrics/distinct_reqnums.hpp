// Counts how many different reqnums came in (protocol 4, num_requests_recieved), in bounded memory.
//
// The last 4096 up to the highest are remembered in a circular bitmap. One that is further away, on either
// side, counts as new, and the window begins anew with it: a client may name any reqnum where the signature
// doesn't cover it. One huge number forgets what was there before it, once; the next honest one takes the
// window back. If it stayed up there, each honest number would count as often as it is repeated, for good.
// For the same reason this decides nothing; refusing is replay_window.hpp's.
#pragma once

#include <cstdint>

#include "metrics/ledger_transaction.hpp"

namespace cppworker {

void count_distinct_reqnum(LedgerTransaction& transaction, std::uint64_t reqnum);

}  // namespace cppworker
