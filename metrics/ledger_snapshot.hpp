// What the books say at one instant: the material of load reports and of the exposition.
//
// A plain value, for any thread. Work in milli work units.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "metrics/ledger_layout.hpp"
#include "metrics/ledger_open_now.hpp"
#include "metrics/ledger_words.hpp"

namespace cppworker {

// Counted by single atomic additions, outside the transactions.
enum class Counter {
  kAuthWrongSignature,
  kAuthReplayed,
  kAuthStale,
  kAuthOtherWorker,
  kAuthMissing,
  kAuthNoKey,
  kBadRequest404,
  kBadRequest405,
  kBadRequest408,
  kBadRequest413,
  kBadRequest422,
  kBadRequest431,
  kBadRequestOther,
  kConnectionsAccepted,
  kBytesFromClients,
  kBytesToClients,
  kUpstreamConnects,
  kSignatureCacheHits,
  kUnsecuredRequests,
  kUpstreamBytes,     // of good answers to requests in the books, counted as they come
  kUpstreamFailures,  // such requests that the inference server failed
  kSessionsCreated,
  kSessionsEnded,
  kSessionsExpired,
  kSessionsRefusedFull,
  kSessionsRefusedUnknown,
  kSessionsRefusedOwner,
  kUpdatesAccepted,
  kUpdatesRefused,
  kTlsHandshakesFailed,
  kConnectionsRefusedFull,
  kConnectionsRefusedAddress,
  kRejectedAgain,
  kSignedCost,        // milli work units of accepted requests whose cost a signature covers
  kWorkOfSignedCost,  // the same of the same, by the formula
  kWorkOverCost,
  kBadRequest400,
  kBadRequest411,
  kBadRequest414,
  kBodiesFull,
  kAnswered1xx,
  kAnswered2xx,
  kAnswered3xx,
  kAnswered4xx,
  kAnswered499,
  kAnswered5xx,
};
inline constexpr std::size_t kCounterCount = static_cast<std::size_t>(Counter::kAnswered5xx) + 1;
static_assert(kCounterCount <= ledger_layout::kCounters);

// The counter of a request that was refused with `status` before it was authenticated.
Counter bad_request_counter(int status);
// That of all answers of the status' class; 499, which is no answer, is counted by itself.
Counter answer_counter(int status);

struct Amount {
  std::int64_t work_milli = 0;
  std::int64_t requests = 0;
  bool operator==(const Amount&) const = default;
};

// Running totals since the ledger was made: received = served + errored + cancelled + rejected + in flight.
struct Totals {
  Amount received, served, errored, cancelled, rejected;
  bool operator==(const Totals&) const = default;
};

// Where the next report begins.
struct Acknowledged {
  std::int64_t received_milli = 0, cancelled_milli = 0, rejected_milli = 0, served_milli = 0;
  std::uint64_t reports = 0;  // how many got through
};

struct InFlightRequest {
  std::uint64_t owner = 0;
  std::int64_t work_milli = 0;
  std::optional<std::int64_t> request_idx;
  std::optional<std::uint64_t> reqnum;
  std::int64_t started_unix_ms = 0;
  int endpoint = -1;
};

struct DurationHistogram {
  std::array<std::uint64_t, ledger_layout::kHistogramBuckets> buckets{};  // each alone, not cumulative
  double sum_seconds = 0;
};

struct EndpointFigures {
  std::string name;  // "POST /generate"
  std::int64_t served = 0, errored = 0, cancelled = 0, rejected = 0;
  std::int64_t work_served_milli = 0;
  DurationHistogram duration, first_byte;
};

struct FinishedQueue {
  std::uint64_t waiting = 0;
  std::uint64_t dropped = 0;  // found the queue full
};

// Whether the inference server moves, at a glance: read without the lock, once a second.
struct Pulse {
  // Requests that the server has: neither queued before it nor held for its return.
  std::int64_t at_server = 0;
  std::uint64_t served = 0;  // these three only grow
  std::uint64_t upstream_bytes = 0;
  std::uint64_t upstream_failures = 0;
};

struct LedgerSnapshot {
  Totals totals;
  Acknowledged acknowledged;
  Amount in_flight_amount;
  std::vector<InFlightRequest> in_flight;
  std::uint64_t distinct_reqnums = 0;
  std::size_t sessions = 0;  // that are there, closing ones included
  OpenNow open_now;          // over all proxies
  FinishedQueue succeeded, failed;
  std::vector<EndpointFigures> endpoints;
  std::array<std::uint64_t, kCounterCount> counters{};
  bool outdated = false;  // the lock couldn't be had: these are the figures of the time before
};

Pulse read_pulse(LedgerWords words);

// Reads everything. Under the ledger's lock.
LedgerSnapshot read_snapshot(LedgerWords words);

}  // namespace cppworker
