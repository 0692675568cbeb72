#include <fcntl.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>

#include <algorithm>
#include <cstdio>
#include <vector>

#include "common/worker_state.hpp"
#include "tests/bench/load.hpp"
#include "tests/bench/sockets.hpp"

namespace cppworker::bench {
namespace {

constexpr std::string_view kPing = "GET /ping HTTP/1.1\r\nHost: bench\r\n\r\n";
// Any mark that no other proxy at this ledger has; the supervisor's are random numbers of 64 bits.
constexpr char kOwner[] = "4711";

// Puts the two descriptors where the supervisor puts them, and becomes the proxy.
[[noreturn]] void become_proxy(const StartLoad& load, const UniqueFd& listener, const UniqueFd& control) {
  // First out of the way of each other.
  int high_listener = ::fcntl(listener.get(), F_DUPFD_CLOEXEC, 100);
  int high_control = ::fcntl(control.get(), F_DUPFD_CLOEXEC, 100);
  ::dup2(high_listener, kListenerFd);
  ::dup2(high_control, kControlFd);
  ::execl(load.program.c_str(), load.program.c_str(), "--settings", load.settings.c_str(), "--owner", kOwner,
          nullptr);
  std::fprintf(stderr, "bench: cannot start %s\n", load.program.c_str());
  ::_exit(127);
}

double time_one(const StartLoad& load) {
  UniqueFd listener = listen_on_loopback(0);
  int pair[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) give_up("cannot make a socket pair");
  UniqueFd ours(pair[0]), theirs(pair[1]);
  // What the supervisor tells first: a proxy that knows nothing of its worker serves nobody.
  if (!write_all(ours, encode(WorkerState{}))) give_up("cannot tell the proxy its worker's state");
  UniqueFd client = connect_to_loopback(port_of(listener));
  const timeval longest{.tv_sec = 10, .tv_usec = 0};  // hundreds of times what it may take
  ::setsockopt(client.get(), SOL_SOCKET, SO_RCVTIMEO, &longest, sizeof longest);
  if (!write_all(client, kPing)) give_up("cannot send the request");

  std::int64_t started = now_ns();
  pid_t pid = ::fork();
  if (pid == 0) become_proxy(load, listener, theirs);
  char byte;
  // A proxy that doesn't start closes the connection with the last copy of the listener.
  listener.reset();
  ssize_t count = ::recv(client.get(), &byte, 1, 0);
  double milliseconds = static_cast<double>(now_ns() - started) / 1e6;
  ::kill(pid, SIGTERM);
  ::waitpid(pid, nullptr, 0);
  if (count != 1) give_up("the proxy doesn't answer");
  return milliseconds;
}

}  // namespace

int time_starts(const StartLoad& load) {
  std::vector<double> times;
  for (int i = 0; i < load.runs; ++i) times.push_back(time_one(load));
  std::sort(times.begin(), times.end());
  std::printf("{\"runs\":%d,\"least_ms\":%.2f,\"median_ms\":%.2f,\"most_ms\":%.2f}\n", load.runs,
              times.front(), times[times.size() / 2], times.back());
  return 0;
}

}  // namespace cppworker::bench
