#include "proxy/deadline_ticker.hpp"

namespace cppworker {

void DeadlineTicker::tick(Deadlined::Clock::time_point now) {
  for (auto it = watched_.begin(); it != watched_.end();) {
    Deadlined& current = *it++;  // first on: on_deadline may end the object
    if (current.deadline_ > now) continue;
    current.clear_deadline();
    current.on_deadline();
  }
}

Awaitable<> DeadlineTicker::run() {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  while (true) {
    timer.expires_after(kTick);
    auto [error] = co_await timer.async_wait(kTuple);
    if (error) co_return;
    tick(Deadlined::Clock::now());
  }
}

}  // namespace cppworker
