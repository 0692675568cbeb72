#include "metrics/ledger_check.hpp"

#include "metrics/ledger_books.hpp"
#include "metrics/ledger_snapshot.hpp"

namespace cppworker {
namespace {

using namespace ledger_layout;

bool sums_up(std::int64_t received, std::initializer_list<std::int64_t> parts) {
  std::uint64_t sum = 0;  // unsigned: a corrupt file may hold anything, also what overflows
  for (std::int64_t part : parts) sum += static_cast<std::uint64_t>(part);
  return static_cast<std::uint64_t>(received) == sum;
}

bool marked(LedgerWords words, std::size_t index) {
  return words.load(kSlotBitmap + index / 64) >> (index % 64) & 1;
}

}  // namespace

std::optional<std::string> find_contradiction(LedgerWords words) {
  for (std::size_t i = 0; i < kSlots; ++i) {
    bool owned = words.load(slot(i) + kSlotOwner) != 0;
    if (owned != marked(words, i)) return "a slot is taken in one place and free in another";
    auto work = static_cast<std::int64_t>(words.load(slot(i) + kSlotWork));
    if (owned && (work < 0 || work > kMostWorkMilli)) return "a request has an impossible workload";
  }
  for (bool success : {true, false}) {
    std::uint64_t waiting = words.load(ring(success) + kRingTail) - words.load(ring(success) + kRingHead);
    if (waiting > kRingEntries) return "a queue of finished requests is longer than its space";
  }
  LedgerSnapshot books = read_snapshot(words);
  const Totals& t = books.totals;
  if (!sums_up(t.received.requests, {t.served.requests, t.errored.requests, t.cancelled.requests,
                                     t.rejected.requests, books.in_flight_amount.requests}))
    return "the requests don't sum up";
  if (!sums_up(t.received.work_milli, {t.served.work_milli, t.errored.work_milli, t.cancelled.work_milli,
                                       t.rejected.work_milli, books.in_flight_amount.work_milli}))
    return "the workloads don't sum up";
  return std::nullopt;
}

}  // namespace cppworker
