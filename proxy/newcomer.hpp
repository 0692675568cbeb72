// A request that comes while the inference server is being restarted. It waits for the server as those do
// that were let in before (holding.hpp), where the wait is worth it:
//
//   - the server was ready before: how long a first load takes, nobody knows;
//   - it may be back in the time that the endpoint's clients wait for their turn (`max_queue_time_s`; without
//     one, the `hold_timeout_s` of those that were let in before), going by how long its last load took;
//   - it hasn't been away for `hold_timeout_s`: a server that fails again and again is no reason to wait;
//   - no more than `max_queue` wait so.
//
// Else it is refused at once, and its client can turn to another worker.
//
// Threads: a request's own; the count of them is shared.
#pragma once

#include <atomic>
#include <chrono>
#include <optional>
#include <utility>

#include "proxy/proxy_core.hpp"

namespace cppworker {

// Until when such a request waits; nullopt: not at all. Pure. `patience`: of the endpoint's clients.
std::optional<LiveState::Clock::time_point> worth_holding(const LiveState& live, std::chrono::seconds hold,
                                                          std::optional<std::chrono::milliseconds> patience,
                                                          LiveState::Clock::time_point now);

// A place among those that wait, given back by its destructor at the latest.
class Newcomer {
 public:
  using Clock = LiveState::Clock;

  Newcomer() = default;
  // Empty when it isn't let wait.
  static std::optional<Newcomer> let_wait(ProxyThread& thread, const Endpoint& endpoint);
  Newcomer(Newcomer&& other) noexcept
      : waiting_(std::exchange(other.waiting_, nullptr)), until_(other.until_) {}
  Newcomer& operator=(Newcomer&& other) noexcept {
    stop_waiting();
    waiting_ = std::exchange(other.waiting_, nullptr);
    until_ = other.until_;
    return *this;
  }
  ~Newcomer() { stop_waiting(); }

  // Of one that doesn't wait, or any more: no limit.
  Clock::time_point until() const { return until_; }
  // The server is back.
  void stop_waiting() {
    if (waiting_ != nullptr) std::exchange(waiting_, nullptr)->fetch_sub(1, std::memory_order_relaxed);
    until_ = Clock::time_point::max();
  }

 private:
  std::atomic<int>* waiting_ = nullptr;
  Clock::time_point until_ = Clock::time_point::max();
};

}  // namespace cppworker
