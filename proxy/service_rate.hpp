// How fast the inference server works, as seen from the requests that it has finished, and how much of what
// it was given is left: from the two follows how long a newcomer waits.
//
// Model: what is outstanding drains like a fluid, at the measured rate, but never faster than requests end,
// and what is still queued doesn't drain at all. So a long request that is nearly done counts as nearly
// nothing, where a sum over the requests would count it whole until its end.
//
// Pure: time is an argument. Units: milli work units, and those per second.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

namespace cppworker {

class ServiceRate {
 public:
  using Clock = std::chrono::steady_clock;

  // Rates are forgotten over this time of work: a minute holds several images, or many texts.
  static constexpr std::chrono::seconds kMemory{60};
  // From so many finished requests on the measured rate is believed, and not the declared one.
  static constexpr int kEnough = 3;

  // `saturated`: requests wait, so that whatever is measured is what the server can do. Else a server that is
  // half idle would look half as fast, and the declared rate counts as a lower bound.
  explicit ServiceRate(bool saturated) : saturated_(saturated) {}

  // What the benchmark found; 0: nothing.
  void declare(double per_second) { declared_ = per_second; }

  void arrive(Clock::time_point now, std::int64_t work);
  // One of the outstanding begins, after waiting or at once.
  void begin(Clock::time_point now, std::int64_t work);
  // One that began has ended; `served`: its work was done.
  void end(Clock::time_point now, std::int64_t work, bool served);
  // One that never began is gone.
  void give_up(Clock::time_point now, std::int64_t work);

  double per_second() const;  // 0: unknown
  // Until all that is outstanding is done; 0 when the rate is unknown.
  std::chrono::duration<double> backlog(Clock::time_point now) const;
  std::size_t outstanding() const { return requests_; }

 private:
  void advance(Clock::time_point now);
  double left(Clock::time_point now) const;

  const bool saturated_;
  double declared_ = 0;
  Clock::time_point at_{};      // of the last event
  double left_ = 0;             // of the outstanding work at that time
  std::int64_t total_ = 0;      // the outstanding work, whole
  std::int64_t queued_ = 0;     // the part that hasn't begun
  std::size_t requests_ = 0;    // outstanding
  std::size_t running_ = 0;     // of them: begun
  double done_ = 0, busy_ = 0;  // work served, and seconds with something running; both forgotten alike
  int finished_ = 0;            // up to kEnough
};

}  // namespace cppworker
