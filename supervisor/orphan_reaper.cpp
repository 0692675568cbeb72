#include "supervisor/orphan_reaper.hpp"

#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/logging.hpp"
#include "supervisor/process_table.hpp"

namespace cppworker {
namespace {

// After a look that failed for want of a descriptor: a burst of connections gives some back within that.
constexpr std::chrono::seconds kRetryAfter{1};

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
    : signals_(io), retry_(io), is_managed_(std::move(is_managed)) {}

void OrphanReaper::start() {
  signals_.add(SIGCHLD);
  await_signal();
  reap();
}

void OrphanReaper::stop() {
  signals_.cancel();
  signals_.clear();
  retry_.cancel();
}

std::uint64_t OrphanReaper::reap() {
  std::uint64_t count = 0;
  pid_t ended = peek_at_ended_child();
  while (ended > 0 && !is_managed_(ended) && take_status(ended)) {
    ++count;
    ended = peek_at_ended_child();
  }
  // The peek always shows the same one: a managed child whose waiter hasn't run yet hides the others.
  if (ended > 0 && is_managed_(ended)) count += reap_behind_managed();
  reaped_ += count;
  return count;
}

std::uint64_t OrphanReaper::reap_behind_managed() {
  const Result<std::vector<ProcessInfo>> all = list_processes(Zombies::kInclude);
  if (!all) {
    spdlog::warn("Cannot look for ended orphans: {}; it is tried again", all.error().message);
    retry_.expires_after(kRetryAfter);
    retry_.async_wait([this](boost::system::error_code ec) {
      if (!ec) reap();
    });
    return 0;
  }
  std::uint64_t count = 0;
  for (const ProcessInfo& process : *all)
    if (process.parent == ::getpid() && process.state == 'Z' && !is_managed_(process.pid) &&
        take_status(process.pid))
      ++count;
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
