#include "common/async.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <stdexcept>

#include "tests/common/movable_clock.hpp"
#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;

Awaitable<std::unique_ptr<int>> at_once() {
  co_return std::make_unique<int>(7);
}
Awaitable<bool> throws_after(std::chrono::nanoseconds duration) {
  if (duration.count() > 0) co_await sleep_for(duration);
  throw std::runtime_error("out of memory");
}
Awaitable<bool> never(bool& cancelled) {
  co_await sleep_for(24h);
  cancelled = true;
  co_return true;
}

TEST(WithDeadline, HandsOutTheValue) {
  asio::io_context io;
  auto value = run_coroutine(io, with_deadline(at_once(), 1h));
  ASSERT_TRUE(value);
  EXPECT_EQ(**value, 7);
}

// It used to wait for the limit, and to say then that the time had run out.
TEST(WithDeadline, ThrowsAtOnceWhatTheWorkThrows) {
  asio::io_context io;
  EXPECT_THROW(run_coroutine(io, with_deadline(throws_after(0ns), 24h)), std::runtime_error);
  EXPECT_THROW(run_coroutine(io, with_deadline(throws_after(1ms), 24h)), std::runtime_error);
}

TEST(WithDeadline, CancelsTheWorkWhenTheTimeIsOver) {
  MovableClock clock;
  asio::io_context io;
  bool cancelled = false;
  std::optional<std::optional<bool>> result;
  asio::co_spawn(io, with_deadline(never(cancelled), 10s),
                 [&](std::exception_ptr, std::optional<bool> made) { result = made; });
  clock.skip(io, 9s);
  EXPECT_FALSE(result);
  clock.skip(io, 2s);
  ASSERT_TRUE(run_until(io, [&] { return result.has_value(); }));
  EXPECT_FALSE(*result);
  EXPECT_TRUE(cancelled);
}

}  // namespace
}  // namespace cppworker
