// Counts how many different reqnums came in (protocol 4, num_requests_recieved), in bounded memory.
//
// The last 4096 up to the highest are remembered in a circular bitmap. One that is older than that counts as
// new: a client may name any reqnum where the signature doesn't cover it, and one huge number must not end
// the counting. For the same reason this decides nothing; refusing is replay_window.hpp's.
#pragma once

#include <cstdint>

#include "metrics/ledger_transaction.hpp"

namespace cppworker {

void count_distinct_reqnum(LedgerTransaction& transaction, std::uint64_t reqnum);

}  // namespace cppworker
