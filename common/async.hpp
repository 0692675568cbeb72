// The spellings of Boost 1.81's coroutines that the project uses, in one place.
#pragma once

#include <chrono>
#include <optional>
#include <utility>
#include <variant>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/awaitable.hpp>
#include <boost/asio/experimental/awaitable_operators.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/this_coro.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace cppworker {

namespace asio = boost::asio;

template <class T = void>
using Awaitable = asio::awaitable<T>;

// `auto [ec, n] = co_await socket.async_read_some(buffer, kTuple);`: errors as values.
inline constexpr auto kTuple = asio::as_tuple(asio::use_awaitable);

// Waits until `duration` has passed; returns early when the coroutine is cancelled.
inline Awaitable<> sleep_for(std::chrono::nanoseconds duration) {
  asio::steady_timer timer(co_await asio::this_coro::executor);
  timer.expires_after(duration);
  co_await timer.async_wait(kTuple);
}

// Runs `work` for at most `limit`; nullopt means the time ran out and `work` was cancelled. `work` must not
// throw.
template <class T>
Awaitable<std::optional<T>> with_deadline(Awaitable<T> work, std::chrono::nanoseconds limit) {
  using namespace asio::experimental::awaitable_operators;
  auto result = co_await (std::move(work) || sleep_for(limit));
  if (result.index() == 0) co_return std::get<0>(std::move(result));
  co_return std::nullopt;
}

}  // namespace cppworker
