// Where everything lies in the ledger's file: offsets in 64-bit words, and nothing else.
//
// The file is one array of 64-bit words in the machine's own byte order; only this machine ever reads it.
// Another layout gets another kVersion: the supervisor moves a file of another version aside and begins anew,
// so a proxy never guesses. Regions, in the order of the file:
//
//   header        magic, version, size in bytes, hashes of whose books these are and of the worker's URL
//   mutex         a process-shared robust pthread_mutex_t: guards all that is transactional
//   journal       count, then (word, new value) pairs: the transaction being applied (ledger_transaction.hpp)
//   totals        received, served, errored, cancelled, rejected: work in milli work units, and requests
//   acknowledged  the totals of the last report that got through, and how many did
//   replay        the window over signed reqnums (replay_window.hpp)
//   distinct      highest reqnum, how many there were, and which of the last 4096 (distinct_reqnums.hpp)
//   rings         request_idx of finished requests that the autoscaler hasn't heard of: success, failure
//   in flight     a bitmap of the slots taken, and the slots
//   endpoints     a name and its figures
//   sessions      what is small of each: state, id, digest of its auth_data, times, sizes of its texts
//   places        for each limit of requests at once: what each proxy has inside (ledger_places.hpp)
//   counters      independent: single atomic additions, no lock, not part of any transaction
//   open now      what each proxy has open beside that, said by itself now and then (ledger_open_now.hpp)
//   texts         what is large of each session, too large for the journal (ledger_sessions.hpp)
#pragma once

#include <pthread.h>

#include <array>
#include <cstddef>
#include <cstdint>

namespace cppworker::ledger_layout {

// "cppwldgr" as bytes on a little-endian machine.
inline constexpr std::uint64_t kMagic = 0x7267646c77707063;
inline constexpr std::uint64_t kVersion = 4;

// A cache line: what the mutex, the totals and the slots are aligned to, so that they don't share one by
// chance.
inline constexpr std::size_t kLineWords = 8;

constexpr std::size_t next_line(std::size_t word) {
  return (word + kLineWords - 1) / kLineWords * kLineWords;
}

// header
inline constexpr std::size_t kMagicWord = 0;
inline constexpr std::size_t kVersionWord = 1;
inline constexpr std::size_t kBytesWord = 2;
inline constexpr std::size_t kIdentityWord = 3;
inline constexpr std::size_t kUrlWord = 4;  // 0 before the first

// mutex
inline constexpr std::size_t kMutex = kLineWords;
inline constexpr std::size_t kMutexWords = kLineWords;
static_assert(sizeof(pthread_mutex_t) <= kMutexWords * sizeof(std::uint64_t));
static_assert(alignof(pthread_mutex_t) <= kLineWords * sizeof(std::uint64_t));

// journal. The longest transaction is an acceptance whose reqnum jumps far: 64 words of the distinct bitmap
// are cleared, and some 20 others change.
inline constexpr std::size_t kJournalEntries = 112;
inline constexpr std::size_t kJournalCount = kMutex + kMutexWords;
inline constexpr std::size_t kJournalPairs = next_line(kJournalCount + 1);

// totals: for each TotalOf, the work and then the requests.
enum class TotalOf { kReceived, kServed, kErrored, kCancelled, kRejected };
inline constexpr std::size_t kTotalKinds = 5;
inline constexpr std::size_t kTotals = next_line(kJournalPairs + 2 * kJournalEntries);

constexpr std::size_t total_work(TotalOf kind) {
  return kTotals + 2 * static_cast<std::size_t>(kind);
}
constexpr std::size_t total_requests(TotalOf kind) {
  return total_work(kind) + 1;
}

// acknowledged
inline constexpr std::size_t kAcknowledged = next_line(kTotals + 2 * kTotalKinds);
inline constexpr std::size_t kAckReceivedWork = kAcknowledged;
inline constexpr std::size_t kAckCancelledWork = kAcknowledged + 1;
inline constexpr std::size_t kAckRejectedWork = kAcknowledged + 2;
inline constexpr std::size_t kAckServedWork = kAcknowledged + 3;
inline constexpr std::size_t kAckSequence = kAcknowledged + 4;

// replay
inline constexpr std::size_t kReplayHighest = next_line(kAckSequence + 1);
inline constexpr std::size_t kReplayBits = kReplayHighest + 1;
inline constexpr std::size_t kReplayBitsWords = 2;

// distinct. 4096 recent reqnums are as many as can be in flight.
inline constexpr std::size_t kDistinctReqnums = 4096;
inline constexpr std::size_t kDistinctCount = next_line(kReplayBits + kReplayBitsWords);
inline constexpr std::size_t kDistinctHighest = kDistinctCount + 1;
inline constexpr std::size_t kDistinctBits = next_line(kDistinctHighest + 1);
inline constexpr std::size_t kDistinctBitsWords = kDistinctReqnums / 64;

// rings. Head and tail grow without end; an entry's place is its number modulo the capacity. 16384 are 16 s
// of a thousand requests a second with the autoscaler away; what comes then is dropped and counted.
inline constexpr std::size_t kRingEntries = 16384;
// Of these, rejected requests may take so many. They come as fast as clients send, and must not crowd out
// what failed at the inference server.
inline constexpr std::size_t kRingForRejected = kRingEntries / 4 * 3;
inline constexpr std::size_t kRingHead = 0;
inline constexpr std::size_t kRingTail = 1;
inline constexpr std::size_t kRingDropped = 2;
inline constexpr std::size_t kRingFirst = kLineWords;
inline constexpr std::size_t kRingWords = kRingFirst + kRingEntries;
inline constexpr std::size_t kRings = next_line(kDistinctBits + kDistinctBitsWords);

constexpr std::size_t ring(bool success) {
  return kRings + (success ? 0 : kRingWords);
}

// in flight
inline constexpr std::size_t kSlots = 4096;
inline constexpr std::size_t kSlotBitmap = next_line(kRings + 2 * kRingWords);
inline constexpr std::size_t kSlotBitmapWords = kSlots / 64;
inline constexpr std::size_t kSlotTable = next_line(kSlotBitmap + kSlotBitmapWords);
inline constexpr std::size_t kSlotOwner = 0;       // the proxy's instance id; 0 when the slot is free
inline constexpr std::size_t kSlotWork = 1;        // milli work units
inline constexpr std::size_t kSlotRequestIdx = 2;  // valid with kSlotHasRequestIdx
inline constexpr std::size_t kSlotReqnum = 3;      // valid with kSlotHasReqnum
inline constexpr std::size_t kSlotFlags = 4;
inline constexpr std::size_t kSlotStarted = 5;     // UNIX milliseconds
inline constexpr std::size_t kSlotEndpoint = 6;    // kNoEndpoint when it has none
inline constexpr std::size_t kSlotGeneration = 7;  // grows with each request that the slot takes
inline constexpr std::size_t kSlotWords = 8;
inline constexpr std::uint64_t kSlotHasRequestIdx = 1;
inline constexpr std::uint64_t kSlotHasReqnum = 2;
// The inference server has it. Written by the owner alone while it has the slot, outside the transactions.
inline constexpr std::uint64_t kSlotAtServer = 4;
inline constexpr std::uint64_t kNoEndpoint = ~std::uint64_t{0};
static_assert(kSlotWords == kLineWords);

constexpr std::size_t slot(std::size_t index) {
  return kSlotTable + index * kSlotWords;
}

// endpoints. The upper bounds of the histograms' buckets, in seconds, listed here alone: from a refused
// prompt to an image of ten minutes. One more bucket takes what is longer.
inline constexpr std::array kDurationBounds = {0.005, 0.01, 0.025, 0.05, 0.1,  0.25, 0.5,   1.0,
                                               2.5,   5.0,  10.0,  30.0, 60.0, 120., 300.0, 600.0};
inline constexpr std::size_t kHistogramBuckets = kDurationBounds.size() + 1;
inline constexpr std::size_t kHistogramSum = kHistogramBuckets;  // microseconds
inline constexpr std::size_t kHistogramWords = kHistogramBuckets + 1;

inline constexpr std::size_t kEndpoints = 64;
inline constexpr std::size_t kNameWords = 15;
inline constexpr std::size_t kLongestName = kNameWords * 8 - 1;  // one byte at least stays 0
inline constexpr std::size_t kEndpointName = 0;                  // all 0 when the slot is free
inline constexpr std::size_t kEndpointServed = kNameWords;       // requests by outcome, in TotalOf's order
inline constexpr std::size_t kEndpointWorkServed = kEndpointServed + 4;
inline constexpr std::size_t kEndpointDuration = kEndpointWorkServed + 1;
inline constexpr std::size_t kEndpointFirstByte = kEndpointDuration + kHistogramWords;
inline constexpr std::size_t kEndpointWords = next_line(kEndpointFirstByte + kHistogramWords);
inline constexpr std::size_t kEndpointTable = next_line(slot(kSlots));

constexpr std::size_t endpoint(std::size_t index) {
  return kEndpointTable + index * kEndpointWords;
}
constexpr std::size_t endpoint_requests(std::size_t index, TotalOf outcome) {
  return endpoint(index) + kEndpointServed + static_cast<std::size_t>(outcome) -
         static_cast<std::size_t>(TotalOf::kServed);
}

// sessions. A worker offers 10 unless it is told otherwise; each holds a place at the inference server.
inline constexpr std::size_t kSessions = 64;
inline constexpr std::size_t kSessionIdWords = 2;
inline constexpr std::size_t kSessionDigestWords = 4;
inline constexpr std::size_t kSessionTextKinds = 3;

inline constexpr std::size_t kSessionState = 0;  // one of the three below
inline constexpr std::size_t kSessionId = 1;     // 13 bytes, the rest 0
inline constexpr std::size_t kSessionDigest = kSessionId + kSessionIdWords;
inline constexpr std::size_t kSessionLifetime = kSessionDigest + kSessionDigestWords;  // milliseconds
inline constexpr std::size_t kSessionCreated = kSessionLifetime + 1;                   // UNIX milliseconds
inline constexpr std::size_t kSessionExpiration = kSessionCreated + 1;
inline constexpr std::size_t kSessionClosingSince = kSessionExpiration + 1;  // valid while it is closing
inline constexpr std::size_t kSessionSizes = kSessionClosingSince + 1;       // bytes of each text
inline constexpr std::size_t kSessionTextHash = kSessionSizes + kSessionTextKinds;
inline constexpr std::size_t kSessionSource = kSessionTextHash + 1;  // who asked for it: grant, address
inline constexpr std::size_t kSessionWords = next_line(kSessionSource + 1);
inline constexpr std::size_t kSessionTable = next_line(endpoint(kEndpoints));

inline constexpr std::uint64_t kSessionFree = 0;
inline constexpr std::uint64_t kSessionOpen = 1;
inline constexpr std::uint64_t kSessionClosing = 2;

constexpr std::size_t session(std::size_t index) {
  return kSessionTable + index * kSessionWords;
}

// Proxies that have something of their own here. One serves, one is about to take over, and four may be
// finishing what they have; the rest is for dead ones that aren't settled yet.
inline constexpr std::size_t kProxies = 8;

// places. One limit is the backend's, and each endpoint may have its own.
inline constexpr std::size_t kPlaceGroups = kEndpoints + 1;
inline constexpr std::size_t kPlaceOwner = 0;         // the proxy's instance id; 0 when the entry is free
inline constexpr std::size_t kPlaceInside = 1;        // its requests at the server
inline constexpr std::size_t kPlaceWaitingSince = 2;  // monotonic nanoseconds; 0 when none waits for a place
inline constexpr std::size_t kPlaceWords = 4;
inline constexpr std::size_t kPlaceTable = next_line(session(kSessions));

// `endpoint`: the slot of the endpoint whose own limit it is; -1: the backend's, of all that have none.
constexpr std::size_t place_group(int endpoint) {
  return static_cast<std::size_t>(endpoint + 1);
}
constexpr std::size_t place_holder(std::size_t group, std::size_t index) {
  return kPlaceTable + (group * kProxies + index) * kPlaceWords;
}

// counters
inline constexpr std::size_t kCounters = 48;
inline constexpr std::size_t kCounterTable = next_line(place_holder(kPlaceGroups, 0));

// open now
inline constexpr std::size_t kOpenNowOwner = 0;  // the proxy's instance id; 0 when the place is free
inline constexpr std::size_t kOpenNowFigures = 1;
inline constexpr std::size_t kOpenNowWords = 5;
inline constexpr std::size_t kOpenNowTable = kCounterTable + kCounters;

constexpr std::size_t open_now(std::size_t place) {
  return kOpenNowTable + place * kOpenNowWords;
}

// texts. auth_data with every member at its limit has some 7700 bytes (proxy/envelope.hpp).
enum class SessionText { kAuthData, kOnCloseRoute, kOnClosePayload };
inline constexpr std::array<std::size_t, kSessionTextKinds> kSessionTextBytes = {8192, 256, 16384};
inline constexpr std::size_t kSessionTexts = next_line(open_now(kProxies));
inline constexpr std::size_t kSessionTextWords =
    (kSessionTextBytes[0] + kSessionTextBytes[1] + kSessionTextBytes[2]) / sizeof(std::uint64_t);

constexpr std::size_t longest_text(SessionText kind) {
  return kSessionTextBytes[static_cast<std::size_t>(kind)];
}
constexpr std::size_t session_text(std::size_t index, SessionText kind) {
  std::size_t bytes = 0;
  for (std::size_t before = 0; before < static_cast<std::size_t>(kind); ++before)
    bytes += kSessionTextBytes[before];
  return kSessionTexts + index * kSessionTextWords + bytes / sizeof(std::uint64_t);
}

inline constexpr std::size_t kTotalWords = kSessionTexts + kSessions * kSessionTextWords;
inline constexpr std::size_t kTotalBytes = kTotalWords * sizeof(std::uint64_t);

static_assert(kDistinctBitsWords + 24 <= kJournalEntries, "the longest acceptance fits into the journal");
static_assert(kProxies * 3 <= kJournalEntries, "a dead proxy's places go in one transaction each");
static_assert(kSlots % 64 == 0 && kDistinctReqnums % 64 == 0);
static_assert(kMutex % kLineWords == 0 && kTotals % kLineWords == 0 && kSlotTable % kLineWords == 0);
static_assert(kSessionTextWords % kLineWords == 0);
static_assert(kTotalBytes < 4 << 20, "the ledger stays small enough to be mapped whole by every process");

}  // namespace cppworker::ledger_layout
