// What /proc says about processes: a snapshot, and a way to signal one without hitting a stranger that got
// its number since.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cppworker {

struct ProcessInfo {
  pid_t pid = 0;
  pid_t parent = 0;
  pid_t group = 0;
  char state = '?';              // as in ps: R S D Z T …
  std::uint64_t start_time = 0;  // ticks since boot: with the pid, unique until the next boot
  std::uint64_t resident_bytes = 0;
  std::string comm;  // the kernel's name for it, 15 bytes at most; chosen by the process

  // "1234 (python3, state D)", for messages.
  std::string text() const;
};

// nullopt when there is no such process (any more).
std::optional<ProcessInfo> look_at_process(pid_t pid);

// All processes that still run or sleep; zombies, whose only remainder is a line in the table, are left out
// unless asked for. A zombie with living threads counts as alive: its main thread ended, the process didn't.
enum class Zombies { kLeaveOut, kInclude };
std::vector<ProcessInfo> list_processes(Zombies zombies = Zombies::kLeaveOut);

// The variable's value in the environment that the process was executed with; nullopt when it has none, when
// the process has overwritten that memory, or when we may not look.
std::optional<std::string> environment_value(pid_t pid, std::string_view name);

// Sends the signal if the process is still the same one. False when it is gone.
bool signal_process(const ProcessInfo& process, int signal);

}  // namespace cppworker
