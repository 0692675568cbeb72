// What keeps a thread of the proxy going when something in it throws. An exception here is a bug, or memory
// that ran out, met by one handler or one round of the proxy's own work: it is logged, and the rest goes on.
// Strangers' connections mustn't be able to end the process; and what is broken for good mustn't pass for
// alive.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <exception>
#include <functional>
#include <string>
#include <boost/asio/io_context.hpp>

#include "common/async.hpp"

namespace cppworker {

// Failures that are no accidents any more: so many within so short a time. Memory that runs out for a moment
// fails a handful of handlers.
class FailureCount {
 public:
  using Clock = std::chrono::steady_clock;
  static constexpr std::size_t kMost = 20;
  static constexpr std::chrono::seconds kWithin{10};

  // Notes one. True: that was one too many.
  bool too_many(Clock::time_point now);

 private:
  std::array<Clock::time_point, kMost> seen_;  // in a ring: noting one mustn't need memory
  std::size_t number_ = 0;
};

// Runs `io` until it is stopped. What a handler throws is logged, unless there are too many: then it is
// thrown from here, for the process to end and be replaced.
void run_loop(boost::asio::io_context& io);

// Runs `work` until it returns: again, after a pause, whenever it throws. For what has to be there as long as
// the process is. Throws what `work` threw when that is too many times, and where there isn't even memory for
// the pause.
Awaitable<> keep_running(std::string name, std::function<Awaitable<>()> work);

// What the exception says, for the log.
std::string message_of(std::exception_ptr failure);

}  // namespace cppworker
