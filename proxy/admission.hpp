// How many requests the inference server works on at once: unlimited, or N (1 for a server that executes one
// at a time), with a bounded first-in-first-out queue before it.
//
//   reserve():  fewer than N inside -> in;  queue shorter than its bound -> queued;  else full
//   wait():     queued -> in, when those before have left
//   leave():    the first of the queue goes in, in the place that became free
//
// Reserving and waiting are two steps, so that a request is entered into the books in between: what waits
// here is load of this worker, and what finds the queue full is not.
//
// Threads: shared by all threads of the proxy. A waiter is woken on its own executor.
#pragma once

#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <boost/asio/steady_timer.hpp>

#include "common/async.hpp"

namespace cppworker {

class Admission {
 public:
  enum class Place {
    kIn,      // call leave() when done
    kQueued,  // call wait(), or give_up()
    kFull,    // refused: nothing to undo
  };

  // A place in the queue. Belongs to one request and is used on that request's thread.
  class Waiter {
   public:
    explicit Waiter(asio::any_io_executor executor) : timer_(std::move(executor)) {}

   private:
    friend class Admission;
    enum class State { kNew, kQueued, kIn, kGivenUp };
    asio::steady_timer timer_;
    State state_ = State::kNew;  // guarded by Admission::mutex_
  };

  // `limit` 0 means unlimited.
  Admission(std::size_t limit, std::size_t longest_queue) : limit_(limit), longest_queue_(longest_queue) {}

  Place reserve(const std::shared_ptr<Waiter>& waiter);

  // For a queued waiter. True: in, call leave() when done. False: give_up() was called meanwhile.
  Awaitable<bool> wait(std::shared_ptr<Waiter> waiter);

  void leave();

  // The client went away, or waited long enough: the waiter leaves the queue and its wait() returns false.
  // Does nothing to a waiter that is in already.
  void give_up(const std::shared_ptr<Waiter>& waiter);

  // Undoes reserve() of a queued waiter on which nobody waits: whether it is still queued or in by now.
  void abandon(const std::shared_ptr<Waiter>& waiter);

  std::size_t inside() const;
  std::size_t queued() const;

 private:
  static void wake(const std::shared_ptr<Waiter>& waiter);

  const std::size_t limit_, longest_queue_;
  mutable std::mutex mutex_;
  std::size_t inside_ = 0;
  std::deque<std::shared_ptr<Waiter>> queue_;
};

}  // namespace cppworker
