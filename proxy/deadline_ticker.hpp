// Deadlines of all connections of one thread, kept by a single coarse timer. A timer per request would cost a
// timerfd_settime and a heap operation each; here setting a deadline is one store. Deadlines are late by at
// most kTick, which no limit of ours notices (the shortest is seconds).
//
// Threads: one ticker per io_context, used from its thread alone.
#pragma once

#include <chrono>
#include <boost/asio/steady_timer.hpp>
#include <boost/intrusive/list.hpp>

#include "common/async.hpp"
#include "proxy/coarse_clock.hpp"

namespace cppworker {

class DeadlineTicker;

// Something with a deadline. Derive from it, call set_deadline, and be ready for on_deadline: it comes once,
// from the ticker's coroutine, and may destroy nothing that the ticker walks over but this object itself.
class Deadlined
    : public boost::intrusive::list_base_hook<boost::intrusive::link_mode<boost::intrusive::auto_unlink>> {
 public:
  using Clock = std::chrono::steady_clock;

  virtual ~Deadlined() = default;
  void set_deadline(Clock::duration from_now) { deadline_ = coarse_now() + from_now; }
  void set_deadline_at(Clock::time_point when) { deadline_ = when; }
  void clear_deadline() { deadline_ = Clock::time_point::max(); }

  // Ends, if its place may go to somebody else. False: it may not, and nothing happened.
  virtual bool give_way() { return false; }

 protected:
  virtual void on_deadline() = 0;

 private:
  friend class DeadlineTicker;
  Clock::time_point deadline_ = Clock::time_point::max();
};

class DeadlineTicker {
 public:
  static constexpr std::chrono::milliseconds kTick{250};

  void watch(Deadlined& watched) { watched_.push_back(watched); }

  // Calls on_deadline of everything whose deadline has passed. What one of them throws (for want of memory)
  // is thrown from here when all have been called; that one still exists then, and is called again with the
  // next tick.
  void tick(Deadlined::Clock::time_point now);

  // Has the oldest of all that may give way do so. False: there is none.
  bool make_room();

  // Ticks until the io_context stops.
  Awaitable<> run();

 private:
  using List = boost::intrusive::list<Deadlined, boost::intrusive::constant_time_size<false>>;
  List watched_;
};

}  // namespace cppworker
