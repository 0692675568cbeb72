#include "metrics/ledger_books.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "metrics/distinct_reqnums.hpp"
#include "metrics/replay_window.hpp"

namespace cppworker {
namespace {

using namespace ledger_layout;

std::uint64_t as_word(std::int64_t value) {
  return static_cast<std::uint64_t>(value);
}

std::uint64_t bounded_work(std::int64_t work_milli) {
  return as_word(std::clamp<std::int64_t>(work_milli, 0, kMostWorkMilli));
}

bool valid_endpoint(std::uint64_t endpoint) {
  return endpoint < kEndpoints;
}

ReplayWindow replay_window(const LedgerTransaction& books) {
  return {books.get(kReplayHighest), {books.get(kReplayBits), books.get(kReplayBits + 1)}};
}

std::optional<std::uint32_t> free_slot(const LedgerTransaction& books) {
  for (std::size_t i = 0; i < kSlotBitmapWords; ++i) {
    std::uint64_t taken = books.get(kSlotBitmap + i);
    if (~taken != 0)
      return static_cast<std::uint32_t>(i * 64 + static_cast<std::size_t>(std::countr_one(taken)));
  }
  return std::nullopt;
}

void add_total(LedgerTransaction& books, TotalOf kind, std::uint64_t work_milli) {
  books.add(total_work(kind), work_milli);
  books.add(total_requests(kind), 1);
}

void push_finished(LedgerTransaction& books, bool success, std::uint64_t request_idx,
                   std::size_t most = kRingEntries) {
  std::size_t base = ring(success);
  std::uint64_t tail = books.get(base + kRingTail);
  if (tail - books.get(base + kRingHead) >= most) {
    books.add(base + kRingDropped, 1);
    return;
  }
  books.set(base + kRingFirst + tail % kRingEntries, request_idx);
  books.set(base + kRingTail, tail + 1);
}

void observe(LedgerTransaction& books, std::size_t histogram, double seconds) {
  constexpr double kLongest = 1e9;  // what a broken clock may claim
  if (!(seconds > 0)) seconds = 0;  // also not a number
  seconds = std::min(seconds, kLongest);
  auto bucket =
      std::lower_bound(kDurationBounds.begin(), kDurationBounds.end(), seconds) - kDurationBounds.begin();
  books.add(histogram + static_cast<std::size_t>(bucket), 1);
  books.add(histogram + kHistogramSum, static_cast<std::uint64_t>(std::llround(seconds * 1e6)));
}

TotalOf total_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kServed:
      return TotalOf::kServed;
    case Outcome::kErrored:
      return TotalOf::kErrored;
    case Outcome::kCancelled:
      return TotalOf::kCancelled;
  }
  return TotalOf::kErrored;
}

// Frees the slot and books its request under the outcome. A cancelled request is a success to the autoscaler
// (protocol 4): the worker did nothing wrong.
void close_slot(LedgerTransaction& books, std::size_t index, Outcome outcome) {
  std::size_t place = slot(index);
  std::uint64_t work = books.get(place + kSlotWork);
  std::uint64_t endpoint_index = books.get(place + kSlotEndpoint);
  books.set(place + kSlotOwner, 0);
  books.set(kSlotBitmap + index / 64,
            books.get(kSlotBitmap + index / 64) & ~(std::uint64_t{1} << (index % 64)));
  add_total(books, total_of(outcome), work);
  if (valid_endpoint(endpoint_index)) {
    books.add(endpoint_requests(endpoint_index, total_of(outcome)), 1);
    if (outcome == Outcome::kServed) books.add(endpoint(endpoint_index) + kEndpointWorkServed, work);
  }
  if (books.get(place + kSlotFlags) & kSlotHasRequestIdx)
    push_finished(books, outcome != Outcome::kErrored, books.get(place + kSlotRequestIdx));
}

}  // namespace

Verdict judge_reqnum(const LedgerTransaction& books, std::uint64_t reqnum) {
  switch (judge(replay_window(books), reqnum)) {
    case ReplayVerdict::kReplayed:
      return Verdict::kReplayed;
    case ReplayVerdict::kStale:
      return Verdict::kStale;
    case ReplayVerdict::kFresh:
      break;
  }
  return Verdict::kAccepted;
}

void use_reqnum(LedgerTransaction& books, std::uint64_t reqnum) {
  ReplayWindow window = remember(replay_window(books), reqnum);
  books.set(kReplayHighest, window.highest);
  books.set(kReplayBits, window.bits[0]);
  books.set(kReplayBits + 1, window.bits[1]);
}

Verdict judge_request(const LedgerTransaction& books, const Acceptance& request) {
  if (request.once) {
    if (!request.reqnum) return Verdict::kReplayed;
    Verdict verdict = judge_reqnum(books, *request.reqnum);
    if (verdict != Verdict::kAccepted) return verdict;
  }
  return free_slot(books) ? Verdict::kAccepted : Verdict::kTableFull;
}

std::pair<Verdict, Ticket> accept_request(LedgerTransaction& books, std::uint64_t owner,
                                          const Acceptance& request, std::int64_t now_unix_ms) {
  if (owner == 0) throw std::logic_error("a request accepted for the owner 0, which means nobody");
  Verdict verdict = judge_request(books, request);
  if (verdict != Verdict::kAccepted) return {verdict, {}};

  std::uint32_t index = *free_slot(books);
  std::size_t place = slot(index);
  Ticket ticket{index, books.get(place + kSlotGeneration) + 1};
  std::uint64_t work = bounded_work(request.work_milli);
  std::uint64_t flags = 0;
  if (request.request_idx) flags |= kSlotHasRequestIdx;
  if (request.reqnum) flags |= kSlotHasReqnum;

  books.set(place + kSlotOwner, owner);
  books.set(place + kSlotWork, work);
  books.set(place + kSlotRequestIdx, as_word(request.request_idx.value_or(0)));
  books.set(place + kSlotReqnum, request.reqnum.value_or(0));
  books.set(place + kSlotFlags, flags);
  books.set(place + kSlotStarted, as_word(now_unix_ms));
  books.set(place + kSlotEndpoint,
            request.endpoint < 0 ? kNoEndpoint : static_cast<std::uint64_t>(request.endpoint));
  books.set(place + kSlotGeneration, ticket.generation);
  books.set(kSlotBitmap + index / 64, books.get(kSlotBitmap + index / 64) | std::uint64_t{1} << (index % 64));
  add_total(books, TotalOf::kReceived, work);

  if (request.once) use_reqnum(books, *request.reqnum);
  if (request.reqnum) count_distinct_reqnum(books, *request.reqnum);
  return {Verdict::kAccepted, ticket};
}

void reject_request(LedgerTransaction& books, int endpoint, std::int64_t work_milli,
                    std::optional<std::int64_t> request_idx) {
  std::uint64_t work = bounded_work(work_milli);
  add_total(books, TotalOf::kReceived, work);
  add_total(books, TotalOf::kRejected, work);
  if (endpoint >= 0 && valid_endpoint(static_cast<std::uint64_t>(endpoint)))
    books.add(endpoint_requests(static_cast<std::size_t>(endpoint), TotalOf::kRejected), 1);
  if (request_idx) push_finished(books, false, as_word(*request_idx), kRingForRejected);
}

bool finish_request(LedgerTransaction& books, const Ticket& ticket, const Finish& finish) {
  if (ticket.slot >= kSlots) return false;
  std::size_t place = slot(ticket.slot);
  if (books.get(place + kSlotOwner) == 0 || books.get(place + kSlotGeneration) != ticket.generation)
    return false;
  std::uint64_t endpoint_index = books.get(place + kSlotEndpoint);
  close_slot(books, ticket.slot, finish.outcome);
  if (valid_endpoint(endpoint_index)) {
    observe(books, endpoint(endpoint_index) + kEndpointDuration, finish.seconds);
    if (finish.first_byte_seconds)
      observe(books, endpoint(endpoint_index) + kEndpointFirstByte, *finish.first_byte_seconds);
  }
  return true;
}

void settle_request(LedgerTransaction& books, std::uint32_t slot) {
  close_slot(books, slot, Outcome::kErrored);
}

int find_or_make_endpoint(LedgerTransaction& books, std::string_view name) {
  std::array<std::uint64_t, kNameWords> wanted{};
  std::memcpy(wanted.data(), name.data(), std::min(name.size(), kLongestName));
  if (wanted[0] == 0) return -1;
  for (std::size_t i = 0; i < kEndpoints; ++i) {
    std::array<std::uint64_t, kNameWords> there{};
    for (std::size_t w = 0; w < kNameWords; ++w) there[w] = books.get(endpoint(i) + kEndpointName + w);
    if (there == wanted) return static_cast<int>(i);
    if (there[0] != 0) continue;
    for (std::size_t w = 0; w < kNameWords; ++w) books.set(endpoint(i) + kEndpointName + w, wanted[w]);
    return static_cast<int>(i);
  }
  return -1;
}

std::vector<std::int64_t> oldest_finished(const LedgerTransaction& books, bool success, std::size_t most) {
  std::size_t base = ring(success);
  std::uint64_t head = books.get(base + kRingHead);
  std::uint64_t count = std::min<std::uint64_t>({books.get(base + kRingTail) - head, most, kRingEntries});
  std::vector<std::int64_t> entries;
  entries.reserve(count);
  for (std::uint64_t i = 0; i < count; ++i)
    entries.push_back(static_cast<std::int64_t>(books.get(base + kRingFirst + (head + i) % kRingEntries)));
  return entries;
}

void drop_oldest_finished(LedgerTransaction& books, bool success, std::size_t n) {
  std::size_t base = ring(success);
  std::uint64_t waiting = books.get(base + kRingTail) - books.get(base + kRingHead);
  books.add(base + kRingHead, std::min<std::uint64_t>(n, waiting));
}

}  // namespace cppworker
