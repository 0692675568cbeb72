#include "metrics/ledger_snapshot.hpp"

#include <algorithm>
#include <bit>

#include "metrics/ledger_sessions.hpp"

namespace cppworker {
namespace {

using namespace ledger_layout;

std::int64_t signed_word(LedgerWords words, std::size_t word) {
  return static_cast<std::int64_t>(words.load(word));
}

Amount amount(LedgerWords words, TotalOf kind) {
  return {signed_word(words, total_work(kind)), signed_word(words, total_requests(kind))};
}

// With the index of each slot that a request has.
template <class Visit>
void for_each_taken(LedgerWords words, Visit visit) {
  for (std::size_t i = 0; i < kSlotBitmapWords; ++i)
    for (std::uint64_t taken = words.load(kSlotBitmap + i); taken != 0; taken &= taken - 1)
      visit(i * 64 + static_cast<std::size_t>(std::countr_zero(taken)));
}

InFlightRequest in_flight(LedgerWords words, std::size_t index) {
  std::size_t place = slot(index);
  InFlightRequest request;
  request.owner = words.load(place + kSlotOwner);
  request.work_milli = signed_word(words, place + kSlotWork);
  std::uint64_t flags = words.load(place + kSlotFlags);
  if (flags & kSlotHasRequestIdx) request.request_idx = signed_word(words, place + kSlotRequestIdx);
  if (flags & kSlotHasReqnum) request.reqnum = words.load(place + kSlotReqnum);
  request.started_unix_ms = signed_word(words, place + kSlotStarted);
  std::uint64_t endpoint = words.load(place + kSlotEndpoint);
  request.endpoint = endpoint < kEndpoints ? static_cast<int>(endpoint) : -1;
  return request;
}

DurationHistogram histogram(LedgerWords words, std::size_t base) {
  DurationHistogram read;
  for (std::size_t i = 0; i < kHistogramBuckets; ++i) read.buckets[i] = words.load(base + i);
  read.sum_seconds = static_cast<double>(words.load(base + kHistogramSum)) / 1e6;
  return read;
}

EndpointFigures endpoint_figures(LedgerWords words, std::size_t index) {
  EndpointFigures figures;
  for (std::size_t w = 0; w < kNameWords; ++w) {
    auto bytes = std::bit_cast<std::array<char, 8>>(words.load(endpoint(index) + kEndpointName + w));
    figures.name.append(bytes.data(), bytes.size());
  }
  figures.name.resize(std::min(figures.name.find('\0'), kLongestName));
  figures.served = signed_word(words, endpoint_requests(index, TotalOf::kServed));
  figures.errored = signed_word(words, endpoint_requests(index, TotalOf::kErrored));
  figures.cancelled = signed_word(words, endpoint_requests(index, TotalOf::kCancelled));
  figures.rejected = signed_word(words, endpoint_requests(index, TotalOf::kRejected));
  figures.work_served_milli = signed_word(words, endpoint(index) + kEndpointWorkServed);
  figures.duration = histogram(words, endpoint(index) + kEndpointDuration);
  figures.first_byte = histogram(words, endpoint(index) + kEndpointFirstByte);
  return figures;
}

FinishedQueue queue(LedgerWords words, bool success) {
  std::size_t base = ring(success);
  return {words.load(base + kRingTail) - words.load(base + kRingHead), words.load(base + kRingDropped)};
}

}  // namespace

Counter bad_request_counter(int status) {
  switch (status) {
    case 400:
      return Counter::kBadRequest400;
    case 404:
      return Counter::kBadRequest404;
    case 405:
      return Counter::kBadRequest405;
    case 408:
      return Counter::kBadRequest408;
    case 411:
      return Counter::kBadRequest411;
    case 413:
      return Counter::kBadRequest413;
    case 414:
      return Counter::kBadRequest414;
    case 422:
      return Counter::kBadRequest422;
    case 431:
      return Counter::kBadRequest431;
    default:
      return Counter::kBadRequestOther;
  }
}

Counter answer_counter(int status) {
  if (status == 499) return Counter::kAnswered499;
  switch (status / 100) {
    case 1:
      return Counter::kAnswered1xx;
    case 2:
      return Counter::kAnswered2xx;
    case 3:
      return Counter::kAnswered3xx;
    case 4:
      return Counter::kAnswered4xx;
    default:
      return Counter::kAnswered5xx;
  }
}

Pulse read_pulse(LedgerWords words) {
  auto counted = [&](Counter counter) {
    return words.load(kCounterTable + static_cast<std::size_t>(counter));
  };
  Pulse read;
  for_each_taken(words, [&](std::size_t index) {
    if (words.load(slot(index) + kSlotFlags) & kSlotAtServer) ++read.at_server;
  });
  read.served = words.load(total_requests(TotalOf::kServed));
  read.upstream_bytes = counted(Counter::kUpstreamBytes);
  read.upstream_failures = counted(Counter::kUpstreamFailures);
  return read;
}

LedgerSnapshot read_snapshot(LedgerWords words) {
  LedgerSnapshot read;
  read.totals = {amount(words, TotalOf::kReceived), amount(words, TotalOf::kServed),
                 amount(words, TotalOf::kErrored), amount(words, TotalOf::kCancelled),
                 amount(words, TotalOf::kRejected)};
  read.acknowledged = {signed_word(words, kAckReceivedWork), signed_word(words, kAckCancelledWork),
                       signed_word(words, kAckRejectedWork), signed_word(words, kAckServedWork),
                       words.load(kAckSequence)};
  for_each_taken(words, [&](std::size_t index) {
    auto request = in_flight(words, index);
    read.in_flight_amount.work_milli += request.work_milli;
    read.in_flight_amount.requests += 1;
    read.in_flight.push_back(request);
  });
  read.distinct_reqnums = words.load(kDistinctCount);
  read.sessions = count_sessions(words);
  read.open_now = read_open_now(words);
  read.succeeded = queue(words, true);
  read.failed = queue(words, false);
  for (std::size_t i = 0; i < kEndpoints && words.load(endpoint(i) + kEndpointName) != 0; ++i)
    read.endpoints.push_back(endpoint_figures(words, i));
  for (std::size_t i = 0; i < kCounterCount; ++i) read.counters[i] = words.load(kCounterTable + i);
  return read;
}

}  // namespace cppworker
