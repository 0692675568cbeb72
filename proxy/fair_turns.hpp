// Whose turn it is at something that serves one at a time: that of the clients one after the other, and of
// each client's own in the order in which they came. Whoever queues up many waits behind his own, and keeps
// another client waiting for the one at most that has the turn.
//
//   co_await turns.wait(client);   // until it is the caller's turn
//   …                              // may not throw out of here
//   turns.leave();
//
// Simpler, a first-in-first-out queue lets one stranger who sends large bodies without a signature decide how
// long everybody else's wait to be checked.
//
// Threads: one io_context's own. Destroyed before it, with who waits; who has the turn may outlive it, and
// leaves no more.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>

#include "common/async.hpp"
#include "proxy/parking_place.hpp"

namespace cppworker {

class FairTurns {
 public:
  using Client = const void*;  // compared, and nothing else

  explicit FairTurns(asio::any_io_executor executor) : executor_(std::move(executor)) {}
  FairTurns(const FairTurns&) = delete;

  // Without waiting where nobody has the turn.
  Awaitable<> wait(Client client);
  void leave();

 private:
  struct Line {
    Client client;
    std::deque<std::unique_ptr<ParkingPlace>> places;
  };

  const asio::any_io_executor executor_;
  bool taken_ = false;
  Client now_ = nullptr;    // who has the turn, or had it last
  std::deque<Line> lines_;  // none is empty; the first has the next turn
};

}  // namespace cppworker
