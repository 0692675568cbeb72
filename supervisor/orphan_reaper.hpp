// Takes the exit status of processes that we didn't start: orphans that the kernel hands to PID 1, or to a
// subreaper, when their parent dies. Without it they stay zombies until the table of processes is full.
//
// Never waits for "any child": that would take the status of a managed child away from the one waiter that it
// has, which then sees a clean exit that never happened. Threads: the supervisor's loop; the same one as the
// ProcessRunner's.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <functional>
#include <boost/asio/io_context.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>

#include "common/async.hpp"

namespace cppworker {

// Makes orphaned descendants ours instead of PID 1's, which in a container may reap nothing. True also when
// we are PID 1 and there is nothing to do. Not inherited by children.
bool become_subreaper();

class OrphanReaper {
 public:
  // `is_managed`: children whose status somebody else takes (ProcessRunner::owns).
  OrphanReaper(asio::io_context& io, std::function<bool(pid_t)> is_managed);

  // From now on, with every SIGCHLD; and once at once, for what came before.
  void start();
  void stop();

  // What `start` does each time; returns how many were reaped. Where the worker lacks the means to look at
  // /proc, it is tried again a moment later.
  std::uint64_t reap();

  std::uint64_t reaped() const { return reaped_; }

 private:
  void await_signal();
  std::uint64_t reap_behind_managed();

  asio::signal_set signals_;
  asio::steady_timer retry_;
  std::function<bool(pid_t)> is_managed_;
  std::uint64_t reaped_ = 0;
};

}  // namespace cppworker
