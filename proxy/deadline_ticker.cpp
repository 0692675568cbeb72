#include "proxy/deadline_ticker.hpp"

#include <algorithm>
#include <exception>

namespace cppworker {

void DeadlineTicker::tick(Deadlined::Clock::time_point now) {
  std::exception_ptr failure;
  for (auto it = watched_.begin(); it != watched_.end();) {
    Deadlined& current = *it++;  // first on: on_deadline may end the object
    if (current.deadline_ > now) continue;
    current.clear_deadline();
    try {
      current.on_deadline();
    } catch (...) {
      current.deadline_ = now;  // due again with the next tick
      failure = std::current_exception();
    }
  }
  if (failure) std::rethrow_exception(failure);
}

bool DeadlineTicker::make_room() {
  return std::any_of(watched_.begin(), watched_.end(), [](Deadlined& one) { return one.give_way(); });
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
