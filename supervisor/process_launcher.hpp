// fork and exec, with everything that a supervised child needs in between.
//
// Boost.Process's default launcher isn't used: it announces the fork to Asio, which joins the thread that
// looks names up and so stops the whole loop for as long as a name server is silent; it runs exit handlers of
// ours in a child whose exec failed, and leaves that child behind as a zombie; it passes on whatever
// descriptor some library opened without close-on-exec.
//
// Threads: call it on the thread that lives as long as the program: the kernel sends the parent-death signal
// when the *thread* that forked ends.
#pragma once

#include <sys/types.h>

#include <chrono>
#include <string>
#include <vector>

#include "common/result.hpp"
#include "common/unique_fd.hpp"

namespace cppworker {

struct LaunchOrder {
  std::string program;                   // a path; PATH is not searched
  std::vector<std::string> args;         // without argv[0], which is `program`
  std::vector<std::string> environment;  // "NAME=value": exactly this, nothing inherited
  std::string working_dir;               // empty: the supervisor's own
  std::vector<int> pass_fds;             // become descriptors 3, 4, … of the child; stay open here
  int out = -1;                          // its standard output; -1: the supervisor's own
  int err = -1;
  int cgroup_procs = -1;  // of the control group that it is to be born into; -1: ours
  // From the fork to the program's execution, which the caller waits for. Milliseconds, as a rule; a file
  // system that hangs must not hang the supervisor with it.
  std::chrono::milliseconds exec_limit{std::chrono::seconds(5)};
};

struct LaunchedProcess {
  pid_t pid = -1;
  UniqueFd pidfd;
};

// The child leads a process group of its own, has /dev/null as standard input, default signal dispositions,
// an empty signal mask, no descriptor that wasn't passed, the limit mark that goes with its environment's
// tree mark (limit_mark.hpp), and gets SIGKILL should the supervisor die. It has successfully executed the
// program when this returns; otherwise there is no child, and the error says which step failed and what
// helps. (One that hasn't executed in time was sent SIGKILL, and is an orphan to be reaped, as soon as the
// kernel lets go of it.)
Result<LaunchedProcess> launch_process(const LaunchOrder& order);

}  // namespace cppworker
