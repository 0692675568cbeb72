#include "metrics/distinct_reqnums.hpp"

#include <algorithm>

namespace cppworker {
namespace {

using namespace ledger_layout;

std::size_t word_of(std::uint64_t reqnum) {
  return kDistinctBits + reqnum % kDistinctReqnums / 64;
}

// Clears the bits of first..last, a whole word at a time.
void forget(LedgerTransaction& transaction, std::uint64_t first, std::uint64_t last) {
  std::uint64_t count = last - first + 1;
  while (count > 0) {
    std::uint64_t bit = first % 64;
    std::uint64_t here = std::min<std::uint64_t>(64 - bit, count);
    std::uint64_t mask = (here == 64 ? ~std::uint64_t{0} : (std::uint64_t{1} << here) - 1) << bit;
    transaction.set(word_of(first), transaction.get(word_of(first)) & ~mask);
    first += here;
    count -= here;
  }
}

}  // namespace

void count_distinct_reqnum(LedgerTransaction& transaction, std::uint64_t reqnum) {
  std::uint64_t counted = transaction.get(kDistinctCount);
  std::uint64_t highest = transaction.get(kDistinctHighest);
  const std::uint64_t away = reqnum > highest ? reqnum - highest : highest - reqnum;
  if (counted == 0 || away >= kDistinctReqnums) {
    for (std::size_t i = 0; i < kDistinctBitsWords; ++i)
      if (transaction.get(kDistinctBits + i) != 0) transaction.set(kDistinctBits + i, 0);
    transaction.set(kDistinctHighest, reqnum);
  } else if (reqnum > highest) {
    forget(transaction, highest + 1, reqnum);
    transaction.set(kDistinctHighest, reqnum);
  }
  std::uint64_t bits = transaction.get(word_of(reqnum));
  std::uint64_t bit = std::uint64_t{1} << (reqnum % 64);
  if (bits & bit) return;
  transaction.set(word_of(reqnum), bits | bit);
  transaction.add(kDistinctCount, 1);
}

}  // namespace cppworker
