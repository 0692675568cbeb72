#include "proxy/holding.hpp"

#include <algorithm>

namespace cppworker {
namespace {

using Clock = ActiveRequest::Clock;

// A request that kills the server each time it is sent must not do so for ever; one that was merely there
// when the server died deserves another try, even in a bad hour.
constexpr int kMostSends = 3;
// The connection's end is seen before the supervisor's word of the server's end arrives. Without such a word
// in this time the server lives, and has closed the connection of its own accord.
constexpr std::chrono::seconds kNoticeGrace{2};

// Waits until `reached` holds, looking whenever the worker's state changes. False: too late, or aborted.
template <class Predicate>
Awaitable<bool> wait_for_state(ProxyThread& thread, ActiveRequest& active, Clock::time_point until,
                               Predicate reached) {
  asio::steady_timer timer(thread.io);
  while (!reached()) {
    if (active.aborted() || Clock::now() >= until) co_return false;
    timer.expires_at(until);
    StateBell::Listener listening(thread.bell, timer);
    active.set_pause(&timer);
    co_await timer.async_wait(kTuple);
    active.set_pause(nullptr);
  }
  co_return !active.aborted();
}

bool is_away(ModelPhase phase) {
  return phase == ModelPhase::kLoading || phase == ModelPhase::kUnhealthy;
}

// Ready again, or given up on.
Awaitable<bool> wait_until_back(ProxyThread& thread, ActiveRequest& active, Clock::time_point limit) {
  auto until = std::min({Clock::now() + thread.core.relay_limits.hold, active.whole_until(), limit});
  bool moved = co_await wait_for_state(thread, active, until, [&] { return !is_away(thread.live.phase); });
  co_return moved&& thread.live.phase == ModelPhase::kReady;
}

Awaitable<bool> restart_noticed(ProxyThread& thread, ActiveRequest& active, std::uint64_t epoch) {
  co_return co_await wait_for_state(thread, active, Clock::now() + kNoticeGrace,
                                    [&] { return thread.live.epoch != epoch; });
}

}  // namespace

Holding::Holding(ProxyThread& thread, ActiveRequest& active, bool hold, Newcomer& newcomer)
    : thread_(thread),
      active_(active),
      hold_(hold && thread.core.relay_limits.hold.count() > 0),
      newcomer_(newcomer) {}

Awaitable<bool> Holding::server_is_there() {
  if (hold_ && is_away(thread_.live.phase)) {
    bool back = co_await wait_until_back(thread_, active_, newcomer_.until());
    if (!back) co_return false;
  }
  newcomer_.stop_waiting();
  ++sends_;
  // While the worker drains, what waited for its turn is served by the server that still runs; if that dies,
  // there won't be another.
  hold_ = hold_ && thread_.live.phase != ModelPhase::kDraining;
  epoch_ = thread_.live.epoch;
  co_return true;
}

Awaitable<bool> Holding::send_again() {
  if (!hold_ || sends_ == kMostSends) co_return false;
  active_.begin_phase(thread_.core.relay_limits.first_byte);
  bool restarting = co_await restart_noticed(thread_, active_, epoch_);
  // The wait for the server's return has a limit of its own.
  active_.end_phase();
  co_return restarting;
}

}  // namespace cppworker
