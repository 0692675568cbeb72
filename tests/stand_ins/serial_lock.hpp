// One job at a time, the others in the order they came: A1111's queue lock, ooba's generation lock.
#pragma once

#include <deque>

#include "common/async.hpp"

namespace cppworker::stand_ins {

class SerialLock {
 public:
  // Pair each with unlock(). Never gives up: these servers don't notice that a client left.
  Awaitable<> lock() {
    if (!held_) {
      held_ = true;
      co_return;
    }
    asio::steady_timer turn(co_await asio::this_coro::executor);
    turn.expires_at(asio::steady_timer::time_point::max());
    waiting_.push_back(&turn);
    co_await turn.async_wait(kTuple);
  }

  void unlock() {
    held_ = !waiting_.empty();  // it passes on without being free in between
    if (!held_) return;
    asio::steady_timer* next = waiting_.front();
    waiting_.pop_front();
    next->cancel();
  }

 private:
  bool held_ = false;
  std::deque<asio::steady_timer*> waiting_;
};

}  // namespace cppworker::stand_ins
