#include "supervisor/process_launcher.hpp"

#include <fcntl.h>
#include <linux/close_range.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

#include "supervisor/environment.hpp"
#include "supervisor/limit_mark.hpp"

namespace cppworker {
namespace {

constexpr int kFirstPassedFd = 3;

// What the child tells its parent through a pipe that a successful exec closes.
struct ChildFailure {
  const char* step = nullptr;  // a literal: the same address in both, as the child is a copy
  int cause = 0;
};

// Everything the child touches, prepared before fork: after it only async-signal-safe calls are allowed,
// since another thread (Asio's resolver) may have held the allocator's lock.
struct ChildPlan {
  const char* program;
  std::vector<char*> argv, envp;
  const char* working_dir;  // nullptr: stay
  int in, out, err, report;
  std::vector<int> passed;  // copies, all numbered above the places that they go to
  pid_t supervisor;
  std::uint64_t limit_mark;
  int cgroup_procs;
};

[[noreturn]] void give_up(int report, const char* step) {
  const ChildFailure failure{step, errno};
  [[maybe_unused]] const ssize_t written = ::write(report, &failure, sizeof failure);
  ::_exit(127);
}

// The supervisor has handlers and blocked signals that are no business of the child; a handler of Asio's
// would even write into the pipe that the supervisor reads its own signals from.
void reset_signals() {
  struct sigaction plain {};
  plain.sa_handler = SIG_DFL;
  for (int number = 1; number < NSIG; ++number) ::sigaction(number, &plain, nullptr);
  sigset_t none;
  ::sigemptyset(&none);
  ::sigprocmask(SIG_SETMASK, &none, nullptr);
}

[[noreturn]] void run_child(const ChildPlan& plan) {
  // A group of its own, before anyone can signal it: Ctrl-C in the supervisor's terminal isn't for the model.
  if (::setpgid(0, 0) != 0) give_up(plan.report, "make a process group");
  reset_signals();
  if (::prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) give_up(plan.report, "set the parent-death signal");
  // The supervisor may have died before that call, which then waits for the death of whoever adopted us.
  if (::getppid() != plan.supervisor) ::_exit(127);

  set_limit_mark(plan.limit_mark);
  // "0" is the writer itself. Where it may not move there, the marks are what is left.
  if (plan.cgroup_procs >= 0) [[maybe_unused]]
    const ssize_t moved = ::write(plan.cgroup_procs, "0", 1);
  if (::dup2(plan.in, STDIN_FILENO) < 0) give_up(plan.report, "set up standard input");
  if (plan.out >= 0 && ::dup2(plan.out, STDOUT_FILENO) < 0) give_up(plan.report, "set up standard output");
  if (plan.err >= 0 && ::dup2(plan.err, STDERR_FILENO) < 0) give_up(plan.report, "set up standard error");
  // Marks instead of closing: `report` must work until exec, and the passed ones are copied by the next
  // lines.
  if (::syscall(SYS_close_range, kFirstPassedFd, ~0U, CLOSE_RANGE_CLOEXEC) != 0) {
    for (int fd = kFirstPassedFd, end = static_cast<int>(::sysconf(_SC_OPEN_MAX)); fd < end; ++fd)
      ::fcntl(fd, F_SETFD, FD_CLOEXEC);
  }
  int place = kFirstPassedFd;
  for (const int fd : plan.passed)
    if (::dup2(fd, place++) < 0) give_up(plan.report, "pass a descriptor");

  if (plan.working_dir != nullptr && ::chdir(plan.working_dir) != 0) give_up(plan.report, "enter its folder");
  ::execve(plan.program, plan.argv.data(), plan.envp.data());
  give_up(plan.report, "execute it");
}

std::vector<char*> c_strings(const std::vector<std::string>& texts, const std::string* first) {
  std::vector<char*> made;
  if (first != nullptr) made.push_back(const_cast<char*>(first->c_str()));
  for (const std::string& text : texts) made.push_back(const_cast<char*>(text.c_str()));
  made.push_back(nullptr);
  return made;
}

std::string advice(int cause) {
  switch (cause) {
    case ENOENT:
      return " (is the file there, and the program that its first line names?)";
    case EACCES:
      return " (chmod +x it, and see that its file system isn't mounted noexec)";
    case ENOEXEC:
      return " (a script needs a first line such as #!/bin/sh)";
    case ENOTDIR:
      return " (a part of the path is no folder)";
    case E2BIG:
      return " (arguments and environment are too long together)";
    case EAGAIN:
      return " (the limit of processes is reached: see ulimit -u and pids.max)";
    case EMFILE:
      return " (the limit of open files is reached: see ulimit -n)";
    default:
      return "";
  }
}

Error cannot(std::string_view step, const std::string& program, int cause) {
  return fail("cannot start " + program + ": cannot " + std::string(step) + ": " + ::strerror(cause) +
              advice(cause));
}

// Signals stay blocked from before fork until the child has reset its handlers, and as long in the parent.
class SignalsBlocked {
 public:
  SignalsBlocked() {
    sigset_t all;
    ::sigfillset(&all);
    ::pthread_sigmask(SIG_SETMASK, &all, &before_);
  }
  ~SignalsBlocked() { ::pthread_sigmask(SIG_SETMASK, &before_, nullptr); }
  SignalsBlocked(const SignalsBlocked&) = delete;
  SignalsBlocked& operator=(const SignalsBlocked&) = delete;

 private:
  sigset_t before_;
};

std::string_view tree_mark_in(const std::vector<std::string>& environment) {
  for (const std::string_view entry : environment)
    if (entry.starts_with(kTreeMarkName) && entry.substr(kTreeMarkName.size()).starts_with('='))
      return entry.substr(kTreeMarkName.size() + 1);
  return {};
}

// Also at its end: an executed program has closed the other one.
bool is_readable_within(int fd, std::chrono::milliseconds limit) {
  const auto until = std::chrono::steady_clock::now() + limit;
  while (true) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - std::chrono::steady_clock::now());
    pollfd waited{fd, POLLIN, 0};
    const int ready = ::poll(&waited, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    return ready != 0;
  }
}

void reap(pid_t pid) {
  while (::waitpid(pid, nullptr, 0) < 0 && errno == EINTR) {
  }
}

}  // namespace

Result<LaunchedProcess> launch_process(const LaunchOrder& order) {
  const int above = kFirstPassedFd + static_cast<int>(order.pass_fds.size());
  // Numbers above the passed descriptors' places, so that dup2 onto those can't hit anything still needed.
  auto copy_above = [above](int fd) { return UniqueFd(::fcntl(fd, F_DUPFD_CLOEXEC, above)); };

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) return cannot("make a pipe", order.program, errno);
  UniqueFd report_in(ends[0]);
  UniqueFd report_out(ends[1]);
  UniqueFd report_high = copy_above(report_out.get());
  if (!report_high) return cannot("copy a descriptor", order.program, errno);
  report_out.reset();

  UniqueFd null_low(::open("/dev/null", O_RDONLY | O_CLOEXEC));
  if (!null_low) return cannot("open /dev/null", order.program, errno);
  const UniqueFd null = copy_above(null_low.get());
  const UniqueFd out = order.out >= 0 ? copy_above(order.out) : UniqueFd();
  const UniqueFd err = order.err >= 0 ? copy_above(order.err) : UniqueFd();
  if (!null || (order.out >= 0 && !out) || (order.err >= 0 && !err))
    return cannot("copy a descriptor", order.program, errno);

  std::vector<UniqueFd> copies;
  for (const int fd : order.pass_fds) {
    copies.push_back(copy_above(fd));
    if (!copies.back()) return cannot("copy a descriptor", order.program, errno);
  }

  ChildPlan plan{order.program.c_str(),
                 c_strings(order.args, &order.program),
                 c_strings(order.environment, nullptr),
                 order.working_dir.empty() ? nullptr : order.working_dir.c_str(),
                 null.get(),
                 out.get(),
                 err.get(),
                 report_high.get(),
                 {},
                 ::getpid(),
                 limit_mark_of(tree_mark_in(order.environment)),
                 order.cgroup_procs};
  for (const UniqueFd& copy : copies) plan.passed.push_back(copy.get());

  pid_t pid = -1;
  int fork_error = 0;
  {
    const SignalsBlocked blocked;
    pid = ::fork();
    if (pid == 0) run_child(plan);
    fork_error = errno;
  }
  if (pid < 0) return cannot("fork", order.program, fork_error);
  report_high.reset();

  if (!is_readable_within(report_in.get(), order.exec_limit)) {
    ::kill(pid, SIGKILL);
    return fail("cannot start " + order.program + ": it was not executed within " +
                std::to_string(order.exec_limit.count()) + " ms (does its file system answer?)");
  }
  ChildFailure failure;
  ssize_t got = 0;
  do {
    got = ::read(report_in.get(), &failure, sizeof failure);
  } while (got < 0 && errno == EINTR);
  if (got == static_cast<ssize_t>(sizeof failure)) {
    reap(pid);
    return cannot(failure.step, order.program, failure.cause);
  }

  LaunchedProcess made{pid, UniqueFd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)))};
  if (!made.pidfd) {
    const int cause = errno;
    ::kill(-pid, SIGKILL);
    reap(pid);
    return cannot("watch it", order.program, cause);
  }
  return made;
}

}  // namespace cppworker
