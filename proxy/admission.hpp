// How many requests are at the inference server at once: unlimited, N, or strictly one, with a bounded
// first-in-first-out queue before it.
//
//   reserve():  fewer than N inside -> in;  the wait would be too long -> too long;
//               the queue has room -> queued;  else full
//   wait():     queued -> in, when those before have left
//   leave():    the first of the queue goes in, in the place that became free
//
// Where another proxy serves beside this one, the N are the server's, not each proxy's: place_share.hpp. Then
// places may be taken elsewhere, and the queue wait although fewer than N of this process are inside.
//
// Reserving and waiting are two steps, so that a request is entered into the books in between: what waits
// here is load of this worker, and what finds the queue full is not.
//
// Threads: shared by all threads of the proxy. A waiter is woken on its own executor.
#pragma once

#include <atomic>
#include <chrono>
#include <cstddef>
#include <deque>
#include <memory>
#include <mutex>
#include <optional>
#include <boost/asio/steady_timer.hpp>

#include "common/async.hpp"
#include "proxy/place_share.hpp"
#include "proxy/service_rate.hpp"

namespace cppworker {

struct AdmissionLimits {
  std::size_t concurrency = 0;  // 0: unlimited
  std::size_t queue_requests = 100;
  std::uint64_t queue_bytes = std::uint64_t{256} << 20;  // of the bodies that wait
};

// What a request asks for.
struct Demand {
  std::int64_t work_milli = 0;
  std::uint64_t bytes = 0;                                // of its body
  std::optional<std::chrono::milliseconds> longest_wait;  // refused when the expected wait is longer
};

class Admission {
 public:
  using Clock = ServiceRate::Clock;

  // Told to the client when nothing is known of the server's rate: about one request of a server that
  // executes one at a time.
  static constexpr std::chrono::seconds kRetryUnknown{2};
  // An honest figure may be hours; nobody is helped by a client that sleeps that long while load falls.
  static constexpr std::chrono::seconds kLongestRetry{600};

  enum class Place {
    kIn,       // call leave() when done
    kQueued,   // call wait(), or abandon()
    kFull,     // refused: nothing to undo
    kTooLong,  // the same
  };
  struct Reservation {
    Place place;
    std::chrono::seconds retry_after{0};  // of a refusal: when it may be otherwise
  };

  // A place in the queue or inside. Belongs to one request and is used on that request's thread.
  class Waiter {
   public:
    Waiter(asio::any_io_executor executor, const Demand& demand)
        : executor_(std::move(executor)), demand_(demand) {}

   private:
    friend class Admission;
    enum class State { kNew, kQueued, kIn, kGone };
    const asio::any_io_executor executor_;
    const Demand demand_;
    std::optional<asio::steady_timer> timer_;  // made by wait(): most requests never wait
    State state_ = State::kNew;                // guarded by Admission::mutex_
    Clock::time_point since_;                  // when it was reserved; of a queued one
  };
  using WaiterPtr = std::shared_ptr<Waiter>;

  explicit Admission(const AdmissionLimits& limits, PlaceShare share = {})
      : limits_(limits), share_(std::move(share)), rate_(limits.concurrency != 0) {}

  // The rate that the benchmark found, in milli work units a second.
  void declare_rate(double per_second);

  Reservation reserve(const WaiterPtr& waiter, Clock::time_point now = Clock::now());

  // For a queued waiter. True: in, call leave() when done. False: give_up() was called meanwhile.
  Awaitable<bool> wait(WaiterPtr waiter);

  // `served`: its work was done, and tells how fast the server is.
  void leave(const WaiterPtr& waiter, bool served, Clock::time_point now = Clock::now());

  // The client went away, or waited long enough: the waiter leaves the queue and its wait() returns false.
  // Does nothing to a waiter that is in already.
  void give_up(const WaiterPtr& waiter, Clock::time_point now = Clock::now());

  // Undoes reserve(), whether the waiter is still queued or in by now. Nobody may be waiting on it.
  void abandon(const WaiterPtr& waiter, Clock::time_point now = Clock::now());

  // Places that other processes had may be free by now.
  void look_again(Clock::time_point now = Clock::now());

  // One more at the server keeps others waiting.
  bool is_limited() const { return limits_.concurrency != 0; }

  // Until all that is here now is done: what a request that had to leave is told to wait.
  std::chrono::seconds expected_wait(Clock::time_point now = Clock::now()) const;

  // The threads have ended: from now on nobody is woken or told, since the loops of the waiters go one after
  // the other.
  void close();

  std::size_t inside() const;
  std::size_t queued() const;
  std::uint64_t queued_bytes() const;

 private:
  // Does that under the mutex, and then tells other processes what it has left for them.
  template <class Work>
  void change(Work work);
  // These three under the mutex.
  Reservation reserve_now(const WaiterPtr& waiter, Clock::time_point now);
  bool takes_at_once(Clock::time_point now);
  void fill(Clock::time_point now);
  std::chrono::seconds rounded(std::chrono::duration<double> wait) const;
  void wake(const WaiterPtr& waiter) const;

  const AdmissionLimits limits_;
  mutable std::mutex mutex_;
  PlaceShare share_;
  ServiceRate rate_;
  std::size_t inside_ = 0;
  std::atomic<bool> closed_ = false;
  std::uint64_t queued_bytes_ = 0;
  std::deque<WaiterPtr> queue_;
};

}  // namespace cppworker
