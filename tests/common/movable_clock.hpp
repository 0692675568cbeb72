// Lets tests move std::chrono::steady_clock forward: what waits 90 seconds is then tested at once, with the
// program's own constants and timers.
//
// The linker replaces steady_clock::now() in programs that link this (movable_clock.cpp). Timers of Asio
// notice through skip(). The time comes back when the object is destroyed: declare it before whatever keeps a
// time.
#pragma once

#include <chrono>
#include <boost/asio/io_context.hpp>

namespace cppworker {

class MovableClock {
 public:
  MovableClock() = default;
  ~MovableClock();
  MovableClock(const MovableClock&) = delete;
  MovableClock& operator=(const MovableClock&) = delete;

  // So much later; then runs what the loop has to do at that time, and returns when it has nothing at hand.
  void skip(boost::asio::io_context& io, std::chrono::nanoseconds duration);
};

}  // namespace cppworker
