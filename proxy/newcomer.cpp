#include "proxy/newcomer.hpp"

#include <algorithm>

namespace cppworker {

std::optional<LiveState::Clock::time_point> worth_holding(const LiveState& live, std::chrono::seconds hold,
                                                          std::optional<std::chrono::milliseconds> patience,
                                                          LiveState::Clock::time_point now) {
  if (live.phase != ModelPhase::kUnhealthy) return std::nullopt;
  auto until = std::min(live.since + hold, now + patience.value_or(hold));
  // At the earliest; and what should be there already may come at any moment.
  auto back = live.since + std::chrono::duration<double>(live.load_seconds);
  if (until <= now || back > until) return std::nullopt;
  return until;
}

std::optional<Newcomer> Newcomer::let_wait(ProxyThread& thread, const Endpoint& endpoint) {
  auto until = worth_holding(thread.live, thread.core.relay_limits.hold, endpoint.definition.max_queue_time,
                             Clock::now());
  if (!until) return std::nullopt;
  Newcomer newcomer;
  newcomer.waiting_ = &thread.core.newcomers;
  newcomer.until_ = *until;
  bool room = thread.core.newcomers.fetch_add(1, std::memory_order_relaxed) < thread.core.settings.max_queue;
  if (!room) return std::nullopt;
  return newcomer;
}

}  // namespace cppworker
