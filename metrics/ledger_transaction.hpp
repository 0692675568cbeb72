// All or nothing: a set of changes to the ledger's words that a SIGKILL can't cut in half.
//
// The simple version, which is wrong:
//
//   lock();  words[received] += work;  words[slot] = owner;  unlock();
//
// A process killed between the two leaves a request that was received and is nowhere. So the changes are
// first collected here, as (word, new value), then written to the journal in the file, and then made:
//
//   pairs -> journal;  journal.count = n;  words[w1] = v1; … words[wn] = vn;  journal.count = 0
//
// Killed before the count is stored, nothing has happened. Killed after it, whoever gets the lock next makes
// the changes again from the journal (redo_journal): the values are absolute, so making them twice is making
// them once.
//
// What is longer than the journal is written aside first (write_aside): into a place that is free, and that
// only this transaction makes somebody's. A process killed before that leaves bytes that nobody reads.
//
// This holds against the death of a process, whose stores the kernel leaves in program order; a machine that
// loses power may lose the order in which pages reach the disk, and then ledger_check.hpp finds it out.
//
// Threads: under the ledger's lock. A transaction that is dropped without commit() changes nothing.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <stdexcept>

#include "metrics/ledger_layout.hpp"
#include "metrics/ledger_words.hpp"

namespace cppworker {

// Called between the steps of a transaction, with the step's number: tests die there. Empty in production.
using TestPoint = std::function<void(int step)>;

class LedgerTransaction {
 public:
  LedgerTransaction(LedgerWords words, const TestPoint& test_point)
      : words_(words), test_point_(test_point) {}

  // The value that the word will have after commit().
  std::uint64_t get(std::size_t word) const {
    std::size_t i = find(word);
    return i < count_ ? changes_[i].value : words_.load(word);
  }
  void set(std::size_t word, std::uint64_t value) {
    std::size_t i = find(word);
    if (i == count_) begin_change(word);
    changes_[i].value = value;
  }
  void add(std::size_t word, std::uint64_t delta) {
    std::size_t i = find(word);
    if (i == count_) {
      begin_change(word);
      changes_[i].value = words_.load(word);
    }
    changes_[i].value += delta;
  }

  // Writes the word now, not at commit(): one of a session's texts, in a slot that is free.
  void write_aside(std::size_t word, std::uint64_t value);

  void commit();

 private:
  struct Change {
    std::size_t word;
    std::uint64_t value;
  };

  void step() {
    if (test_point_) test_point_(++steps_);
  }
  // Where the word's change is; count_ when there is none. There are a dozen or two.
  std::size_t find(std::size_t word) const {
    std::size_t i = 0;
    while (i < count_ && changes_[i].word != word) ++i;
    return i;
  }
  void begin_change(std::size_t word) {
    if (count_ == changes_.size()) throw std::logic_error("a ledger transaction is longer than the journal");
    changes_[count_++].word = word;
  }

  LedgerWords words_;
  const TestPoint& test_point_;
  int steps_ = 0;
  std::size_t count_ = 0;
  std::array<Change, ledger_layout::kJournalEntries> changes_;  // the first count_ are valid
};

// Makes the changes of a transaction whose process died while making them. Does nothing when there is none.
void redo_journal(LedgerWords words);

}  // namespace cppworker
