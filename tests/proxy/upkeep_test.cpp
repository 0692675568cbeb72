#include "proxy/upkeep.hpp"

#include <gtest/gtest.h>

#include <stdexcept>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>

namespace cppworker {
namespace {

using std::chrono::seconds;

void post_failures(asio::io_context& io, std::size_t number) {
  for (std::size_t i = 0; i < number; ++i) asio::post(io, [] { throw std::length_error("a handler's bug"); });
}

TEST(RunLoopTest, WhatAHandlerThrowsDoesNotKeepTheOthersFromRunning) {
  asio::io_context io(1);
  bool last = false;
  post_failures(io, 3);
  asio::post(io, [] { throw std::bad_alloc(); });
  asio::post(io, [&] { last = true; });
  EXPECT_NO_THROW(run_loop(io));
  EXPECT_TRUE(last);
}

TEST(RunLoopTest, AHandlerThatFailsAgainAndAgainEndsIt) {
  asio::io_context io(1);
  post_failures(io, FailureCount::kMost);
  EXPECT_NO_THROW(run_loop(io));
  io.restart();
  post_failures(io, FailureCount::kMost + 1);
  EXPECT_THROW(run_loop(io), std::length_error);
}

TEST(FailureCountTest, OldFailuresAreForgotten) {
  FailureCount failures;
  FailureCount::Clock::time_point now{seconds(1000)};
  for (std::size_t i = 0; i < FailureCount::kMost; ++i) EXPECT_FALSE(failures.too_many(now));
  now += FailureCount::kWithin + seconds(1);
  EXPECT_FALSE(failures.too_many(now));
  for (std::size_t i = 1; i < FailureCount::kMost; ++i) EXPECT_FALSE(failures.too_many(now));
  EXPECT_TRUE(failures.too_many(now));
}

TEST(KeepRunningTest, WhatThrowsBeginsAgainAndWhatReturnsDoesNot) {
  asio::io_context io(1);
  int begun = 0;
  bool ended = false;
  auto work = [&]() -> Awaitable<> {
    if (++begun < 3) throw std::bad_alloc();
    co_return;
  };
  asio::co_spawn(io, keep_running("work", work), [&](std::exception_ptr failure) {
    EXPECT_FALSE(failure);
    ended = true;
  });
  io.run();
  EXPECT_EQ(begun, 3);
  EXPECT_TRUE(ended);
}

}  // namespace
}  // namespace cppworker
