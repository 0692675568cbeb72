#include "proxy/upkeep.hpp"

#include "common/logging.hpp"

namespace cppworker {
namespace {

// Long enough for memory to be there again, and far below what anybody waits for.
constexpr std::chrono::milliseconds kPauseAfterFailure{100};

}  // namespace

bool FailureCount::too_many(Clock::time_point now) {
  Clock::time_point& oldest = seen_[number_ % kMost];
  bool many = number_ >= kMost && now - oldest <= kWithin;
  oldest = now;
  ++number_;
  return many;
}

void run_loop(asio::io_context& io) {
  FailureCount failures;
  while (true) {
    try {
      io.run();
      return;
    } catch (const std::exception& error) {
      spdlog::error("A handler ended unexpectedly: {}", error.what());
      if (failures.too_many(FailureCount::Clock::now())) throw;
    }
  }
}

Awaitable<> keep_running(std::string name, std::function<Awaitable<>()> work) {
  FailureCount failures;
  while (true) {
    std::exception_ptr failure;
    try {
      co_await work();
      co_return;
    } catch (...) {
      failure = std::current_exception();
    }
    spdlog::error("The {} ended unexpectedly, and begins again: {}", name, message_of(failure));
    if (failures.too_many(FailureCount::Clock::now())) std::rethrow_exception(failure);
    co_await sleep_for(kPauseAfterFailure);
  }
}

std::string message_of(std::exception_ptr failure) {
  try {
    std::rethrow_exception(failure);
  } catch (const std::exception& error) {
    return error.what();
  } catch (...) {
    return "something that is no std::exception";
  }
}

}  // namespace cppworker
