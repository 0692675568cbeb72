// How soon the proxy notices that a client has left. The machine itself may hold a process up for longer than
// what is promised, once; a proxy that doesn't look would be late each time.
#pragma once

#include <gtest/gtest.h>

#include <algorithm>
#include <chrono>
#include <functional>
#include <memory>
#include <stdexcept>
#include <thread>

#include "tests/proxy/raw_client.hpp"
#include "tests/proxy/running_proxy.hpp"

namespace cppworker {

// A request that a test has brought into some phase.
struct InPhase {
  std::unique_ptr<RawClient> client;
  std::function<void()> wait_for_end;
};

// Until the books say that one more was cancelled than now: where nobody else hears of the end.
inline std::function<void()> until_one_more_is_cancelled(RunningProxy& proxy) {
  const std::int64_t before = proxy.books().totals.cancelled.requests;
  return [&proxy, before] {
    const auto until = std::chrono::steady_clock::now() + kHangGuard;
    while (proxy.ledger().snapshot().totals.cancelled.requests == before) {
      if (std::chrono::steady_clock::now() > until) throw std::runtime_error("it isn't noticed");
      std::this_thread::yield();
    }
  };
}

inline void expect_noticed_soon(RunningProxy& proxy, const std::function<InPhase()>& phase,
                                const std::function<void(RawClient&)>& leave) {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::milliseconds kPromised{50};
  constexpr int kMostTries = 5;
  Clock::duration best = Clock::duration::max();
  for (int i = 0; i < kMostTries && best >= kPromised; ++i) {
    InPhase there = phase();
    proxy.settle();
    const auto left = Clock::now();
    leave(*there.client);
    there.wait_for_end();
    best = std::min(best, Clock::now() - left);
  }
  EXPECT_LT(std::chrono::duration<double>(best).count(), std::chrono::duration<double>(kPromised).count());
}

}  // namespace cppworker
