// A request's entry in the books, from its acceptance to its finish: what nobody finished, because an
// exception or the proxy's end came in between, is finished as errored. Else it would be load for ever, and
// its request_idx in flight.
//
// Threads: its request's.
#pragma once

#include <chrono>
#include <optional>
#include <utility>

#include "metrics/ledger.hpp"

namespace cppworker {

class BooksEntry {
 public:
  BooksEntry() = default;
  // `ticket` was accepted just now.
  BooksEntry(Ledger& ledger, const Ticket& ticket) : ledger_(&ledger), ticket_(ticket) {}
  BooksEntry(BooksEntry&& other) noexcept
      : ledger_(std::exchange(other.ledger_, nullptr)), ticket_(other.ticket_), accepted_(other.accepted_) {}
  BooksEntry& operator=(BooksEntry&& other) noexcept {
    finish(Outcome::kErrored);
    ledger_ = std::exchange(other.ledger_, nullptr);
    ticket_ = other.ticket_;
    accepted_ = other.accepted_;
    return *this;
  }
  ~BooksEntry() { finish(Outcome::kErrored); }

  // Whether the inference server has it now; not so at first.
  void note_at_server(bool at_server) {
    if (ledger_ != nullptr) ledger_->note_at_server(ticket_, at_server);
  }

  // Once; what comes later changes nothing.
  void finish(Outcome outcome, std::optional<double> first_byte_seconds = {}) {
    if (ledger_ == nullptr) return;
    double seconds = std::chrono::duration<double>(Clock::now() - accepted_).count();
    std::exchange(ledger_, nullptr)->finish(ticket_, {outcome, seconds, first_byte_seconds});
  }

 private:
  using Clock = std::chrono::steady_clock;

  Ledger* ledger_ = nullptr;
  Ticket ticket_;
  Clock::time_point accepted_ = Clock::now();
};

}  // namespace cppworker
