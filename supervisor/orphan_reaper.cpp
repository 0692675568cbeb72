#include "supervisor/orphan_reaper.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "supervisor/process_table.hpp"

namespace cppworker {
namespace {

// The pid of some child that has ended and wasn't waited for; 0 when there is none. Takes nothing.
pid_t peek_at_ended_child() {
  siginfo_t info{};
  if (::waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) != 0) return 0;
  return info.si_pid;
}

bool take_status(pid_t pid) {
  return ::waitpid(pid, nullptr, WNOHANG) == pid;
}

}  // namespace

bool become_subreaper() {
  return ::getpid() == 1 || ::prctl(PR_SET_CHILD_SUBREAPER, 1) == 0;
}

OrphanReaper::OrphanReaper(asio::io_context& io, std::function<bool(pid_t)> is_managed)
    : signals_(io), is_managed_(std::move(is_managed)) {}

void OrphanReaper::start() {
  signals_.add(SIGCHLD);
  await_signal();
  reap();
}

void OrphanReaper::stop() {
  signals_.cancel();
  signals_.clear();
}

std::uint64_t OrphanReaper::reap() {
  std::uint64_t count = 0;
  pid_t ended = peek_at_ended_child();
  while (ended > 0 && !is_managed_(ended) && take_status(ended)) {
    ++count;
    ended = peek_at_ended_child();
  }
  // The peek always shows the same one: a managed child whose waiter hasn't run yet hides the others.
  if (ended > 0 && is_managed_(ended)) {
    const pid_t self = ::getpid();
    for (const ProcessInfo& process : list_processes(Zombies::kInclude))
      if (process.parent == self && process.state == 'Z' && !is_managed_(process.pid) &&
          take_status(process.pid))
        ++count;
  }
  reaped_ += count;
  return count;
}

// Signals merge: one may stand for many ended children. As each look takes all there are, none is left over.
void OrphanReaper::await_signal() {
  signals_.async_wait([this](boost::system::error_code ec, int) {
    if (ec) return;
    reap();
    await_signal();
  });
}

}  // namespace cppworker
