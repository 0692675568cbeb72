// The spellings of Boost 1.81's coroutines that the project uses, in one place.
#pragma once

#include <chrono>
#include <exception>
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

// The value of `work`, or what it threw.
template <class T>
struct Caught {
  std::optional<T> value;
  std::exception_ptr thrown;
};
template <class T>
Awaitable<Caught<T>> caught(Awaitable<T> work) {
  Caught<T> outcome;
  try {
    T value = co_await std::move(work);
    outcome.value.emplace(std::move(value));
  } catch (...) {
    outcome.thrown = std::current_exception();
  }
  co_return outcome;
}

// Runs `work` for at most `limit`; nullopt means the time ran out and `work` was cancelled. What `work`
// throws comes out of here at once.
template <class T>
Awaitable<std::optional<T>> with_deadline(Awaitable<T> work, std::chrono::nanoseconds limit) {
  using namespace asio::experimental::awaitable_operators;
  // Caught: || waits for a success, and a throwing `work` would look as if the time had run out.
  auto result = co_await (caught(std::move(work)) || sleep_for(limit));
  if (result.index() == 1) co_return std::nullopt;
  Caught<T> outcome = std::get<0>(std::move(result));
  if (outcome.thrown) std::rethrow_exception(outcome.thrown);
  co_return std::move(outcome.value);
}

}  // namespace cppworker
