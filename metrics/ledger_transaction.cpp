#include "metrics/ledger_transaction.hpp"

#include <stdexcept>

namespace cppworker {
namespace {

using namespace ledger_layout;

// Keeps the compiler from moving a store past the commit point; the processor needs no fence, because a
// killed process's stores become visible in program order.
void keep_order() {
  std::atomic_signal_fence(std::memory_order_seq_cst);
}

}  // namespace

void LedgerTransaction::write_aside(std::size_t word, std::uint64_t value) {
  if (word < kSessionTexts || word >= kTotalWords)
    throw std::logic_error("a ledger transaction writes aside what others may read");
  words_.store(word, value);
  step();
}

void LedgerTransaction::commit() {
  if (count_ == 0) return;
  step();
  for (std::size_t i = 0; i < count_; ++i) {
    words_.store(kJournalPairs + 2 * i, changes_[i].word);
    words_.store(kJournalPairs + 2 * i + 1, changes_[i].value);
    step();
  }
  keep_order();
  words_.store_release(kJournalCount, count_);
  keep_order();
  step();
  for (std::size_t i = 0; i < count_; ++i) {
    words_.store(changes_[i].word, changes_[i].value);
    step();
  }
  keep_order();
  words_.store_release(kJournalCount, 0);
  keep_order();
  step();
  count_ = 0;
}

void redo_journal(LedgerWords words) {
  std::uint64_t count = words.load(kJournalCount);
  if (count <= kJournalEntries) {
    for (std::size_t i = 0; i < count; ++i) {
      std::uint64_t word = words.load(kJournalPairs + 2 * i);
      // Journals that point outside the books are no process's work; the file is checked where it is opened.
      const bool transactional = word == kUrlWord || (word >= kTotals && word < kCounterTable);
      if (!transactional) continue;
      words.store(word, words.load(kJournalPairs + 2 * i + 1));
    }
  }
  keep_order();
  words.store_release(kJournalCount, 0);
  keep_order();
}

}  // namespace cppworker
