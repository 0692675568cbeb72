// Wakes the requests of one thread that wait for the worker's state to change. Threads: its own.
#pragma once

#include <list>
#include <boost/asio/steady_timer.hpp>

namespace cppworker {

class StateBell {
 public:
  // While it lives, a ring cancels the timer's waits.
  class Listener {
   public:
    Listener(StateBell& bell, boost::asio::steady_timer& timer)
        : bell_(bell), entry_(bell.timers_.insert(bell.timers_.end(), &timer)) {}
    ~Listener() { bell_.timers_.erase(entry_); }
    Listener(const Listener&) = delete;
    Listener& operator=(const Listener&) = delete;

   private:
    StateBell& bell_;
    std::list<boost::asio::steady_timer*>::iterator entry_;
  };

  void ring() {
    for (boost::asio::steady_timer* timer : timers_) timer->cancel();
  }

 private:
  std::list<boost::asio::steady_timer*> timers_;
};

}  // namespace cppworker
