// What /proc says about processes: a snapshot, and a way to signal one without hitting a stranger that got
// its number since.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/result.hpp"

namespace cppworker {

struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  pid_t session = 0;
  char state = '?';              // as in ps: R S D Z T …
  std::uint64_t start_time = 0;  // ticks since boot: with the pid, unique until the next boot
  std::uint64_t resident_bytes = 0;
  int threads = 0;
  std::string comm;  // the kernel's name for it, 15 bytes at most; chosen by the process

  // "1234 (python3, state D)", for messages.
  std::string text() const;
};

// nullopt when there is no such process (any more), or when we lack a descriptor to look with: proof that one
// is gone comes from list_processes.
std::optional<ProcessInfo> look_at_process(pid_t pid);

// All processes that still run or sleep; zombies, whose only remainder is a line in the table, are left out
// unless asked for. A zombie with living threads counts as alive: its main thread ended, the process didn't.
// Fails when the worker itself is out of descriptors or memory: what was seen until then would pass for all
// there is. Another try, a moment later, may succeed.
enum class Zombies { kLeaveOut, kInclude };
Result<std::vector<ProcessInfo>> list_processes(Zombies zombies = Zombies::kLeaveOut);

// Whether the kernel holds it, or one of its threads, in a call that nothing interrupts (state D). Such a one
// may hold the lock of its memory, and whoever reads its environment or command line then waits as long, no
// signal helping: the `ps` that hangs. Its stat and its limits can be read all the same.
bool is_held_by_kernel(const ProcessInfo& process);

// The variable's value in the environment that the process was executed with; nullopt when it has none, when
// the process has overwritten that memory, or when we may not look. Not for one that the kernel holds.
std::optional<std::string> environment_value(pid_t pid, std::string_view name);

// Sends the signal if the process is still the same one. False when it is gone.
bool signal_process(const ProcessInfo& process, int signal);

}  // namespace cppworker
