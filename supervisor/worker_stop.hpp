// How a worker ends: unready, drained, the model stopped, the proxies stopped, the last report delivered.
//
// Begun by a signal or by a service that gives up; a second signal hurries it. Threads: the supervisor's
// loop, which it stops when all is over.
#pragma once

#include <chrono>
#include <functional>
#include <boost/asio/steady_timer.hpp>

#include "supervisor/worker_parts.hpp"
#include "supervisor/worker_report.hpp"

namespace cppworker {

class WorkerStop {
 public:
  // `on_begin`: nobody is to be let in any more.
  WorkerStop(WorkerParts& parts, std::function<void()> on_begin);

  void on_signal(int number);
  // A service has said that it won't come back: the worker ends, and tells why in its last report.
  void on_give_up(const Service& service, ExitCode code);
  // Something that it waits for may have happened.
  void look_again() { changed_.cancel(); }
  void reporter_ended();

  const Ending& ending() const { return ending_; }
  ExitCode exit_code() const { return exit_code_; }

 private:
  void begin();
  Awaitable<> run();
  template <class Predicate>
  Awaitable<> wait_for(Predicate reached, std::chrono::seconds limit = std::chrono::hours(24));

  WorkerParts& parts_;
  const std::function<void()> on_begin_;
  asio::steady_timer changed_;
  Ending ending_;
  ExitCode exit_code_ = kExitClean;
  bool hurried_ = false, reporter_ended_ = false;
};

}  // namespace cppworker
