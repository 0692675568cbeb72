// The processes that the tests supervise: `child_program MODE [ARGUMENT]`. Each prints "up" when it is what
// its mode says, so that a test waits for that instead of guessing.
#include <dirent.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include <algorithm>
#include <string>
#include <thread>
#include <vector>

namespace {

[[noreturn]] void sleep_for_ever() {
  while (true) ::pause();
}

void say(const std::string& line) {
  const std::string text = line + "\n";
  [[maybe_unused]] const ssize_t written = ::write(STDOUT_FILENO, text.data(), text.size());
}

// Descriptors, signals, group, folder, environment: what a child was given.
int describe() {
  std::vector<int> fds;
  DIR* folder = ::opendir("/proc/self/fd");
  while (const dirent* entry = ::readdir(folder))
    if (entry->d_name[0] != '.' && ::atoi(entry->d_name) != ::dirfd(folder))
      fds.push_back(::atoi(entry->d_name));
  ::closedir(folder);
  std::sort(fds.begin(), fds.end());
  for (const int fd : fds) {
    char target[256];
    const ssize_t size = ::readlink(("/proc/self/fd/" + std::to_string(fd)).c_str(), target, sizeof target);
    const std::string where(target, static_cast<std::size_t>(std::max<ssize_t>(size, 0)));
    say("fd " + std::to_string(fd) + " " + where.substr(0, where.find(':')));
  }
  int ignored = 0;
  for (int number = 1; number < 32; ++number) {
    struct sigaction action;
    if (::sigaction(number, nullptr, &action) == 0 && action.sa_handler != SIG_DFL) ++ignored;
  }
  sigset_t mask;
  ::sigprocmask(SIG_BLOCK, nullptr, &mask);
  say("not default " + std::to_string(ignored));
  say(std::string("mask ") + (::sigisemptyset(&mask) ? "empty" : "not empty"));
  int death_signal = 0;
  ::prctl(PR_GET_PDEATHSIG, &death_signal);
  say("death signal " + std::to_string(death_signal));
  say(std::string("leader ") + (::getpgrp() == ::getpid() ? "yes" : "no"));
  char* here = ::getcwd(nullptr, 0);
  say("folder " + std::string(here));
  ::free(here);
  for (char** entry = environ; *entry != nullptr; ++entry) say("env " + std::string(*entry));
  return 0;
}

// Forks; the child goes on in `task` (which doesn't return), the parent returns its pid.
template <class Task>
pid_t forked(Task task) {
  const pid_t pid = ::fork();
  if (pid == 0) {
    task();
    ::_exit(0);
  }
  return pid;
}

void up(pid_t pid = ::getpid()) {
  say("up " + std::to_string(pid));
}

[[noreturn]] void say_up_and_sleep(pid_t pid = ::getpid()) {
  up(pid);
  sleep_for_ever();
}

// Sleeps in state D, where the kernel alone wakes, for as long as a child that shares the memory lives. Says
// "up" then.
void sleep_held_by_kernel() {
  static char stack[64 << 10];
  const auto child = [](void*) -> int { say_up_and_sleep(::getppid()); };
  ::clone(child, stack + sizeof stack, CLONE_VM | CLONE_VFORK | SIGCHLD, nullptr);
}

}  // namespace

int main(int argc, char** argv) {
  const std::string mode = argc > 1 ? argv[1] : "";
  const std::string argument = argc > 2 ? argv[2] : "";
  if (mode == "describe") return describe();
  if (mode == "exit") return ::atoi(argument.c_str());
  if (mode == "signal") {
    const rlimit none{0, 0};
    ::setrlimit(RLIMIT_CORE, &none);
    ::raise(::atoi(argument.c_str()));
    return 0;
  }
  if (mode == "dump_core") {
    rlimit cores{};
    ::getrlimit(RLIMIT_CORE, &cores);
    if (cores.rlim_max == 0) return 77;
    cores.rlim_cur = cores.rlim_max;
    ::setrlimit(RLIMIT_CORE, &cores);
    ::abort();
  }
  if (mode == "sleep") say_up_and_sleep();
  if (mode == "ignore_term") {
    ::signal(SIGTERM, SIG_IGN);
    say_up_and_sleep();
  }
  if (mode == "print") {  // so many lines, on both streams
    for (int i = 0; i < ::atoi(argument.c_str()); ++i) {
      ::printf("line %d\n", i);
      if (i % 100 == 0) ::fprintf(stderr, "error %d\n", i);
    }
    return 0;
  }
  // The leader ends at once with code 7; its child sleeps on, in the same group, with both pipes open.
  if (mode == "leave_grandchild") {
    ::signal(SIGTERM, SIG_IGN);
    const pid_t pid = forked([] { sleep_for_ever(); });
    up(pid);
    return 7;
  }
  // Like it, and the one that is left prints once more when it gets SIGUSR1.
  if (mode == "leave_printer") {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGUSR1);
    ::sigprocmask(SIG_BLOCK, &set, nullptr);
    const pid_t pid = forked([&] {
      int got = 0;
      ::sigwait(&set, &got);
      say("last words");
      sleep_for_ever();
    });
    up(pid);
    return 0;
  }
  // A child in a session of its own; the leader stays.
  if (mode == "setsid") {
    forked([] {
      ::setsid();
      say_up_and_sleep();
    });
    sleep_for_ever();
  }
  // The same, both deaf to SIGTERM, and saying so when they get SIGABRT; they go on all the same.
  if (mode == "setsid_ignoring_term") {
    ::signal(SIGTERM, SIG_IGN);
    ::signal(SIGABRT, [](int) { say("aborted " + std::to_string(::getpid())); });
    forked([] {
      ::setsid();
      say_up_and_sleep();
    });
    sleep_for_ever();
  }
  // A child in a session of its own with an empty environment: it belongs to the leader as long as that
  // lives.
  if (mode == "bare_child") {
    const std::string self = argv[0];
    forked([&] {
      ::setsid();
      char* const arguments[] = {const_cast<char*>(self.c_str()), const_cast<char*>("sleep"), nullptr};
      char* const nothing[] = {nullptr};
      ::execve("/proc/self/exe", arguments, nothing);
    });
    sleep_for_ever();
  }
  // The same, with a limit that carries no mark any more (limit_mark.hpp), and a child of its own.
  if (mode == "unmarked_family") {
    const std::string self = argv[0];
    forked([&] {
      ::setsid();
      const rlimit small{1000, 1000};
      ::setrlimit(RLIMIT_LOCKS, &small);
      char* const arguments[] = {const_cast<char*>(self.c_str()), const_cast<char*>("family"), nullptr};
      char* const nothing[] = {nullptr};
      ::execve("/proc/self/exe", arguments, nothing);
    });
    sleep_for_ever();
  }
  if (mode == "family") {
    forked([] { sleep_for_ever(); });
    say_up_and_sleep();
  }
  // A grandchild in a session of its own whose parent is gone; with "bare" it has an empty environment as
  // well.
  if (mode == "double_fork") {
    const std::string self = argv[0];
    const pid_t middle = forked([&] {
      ::setsid();
      forked([&] {
        if (argument != "bare") say_up_and_sleep();
        char* const arguments[] = {const_cast<char*>(self.c_str()), const_cast<char*>("sleep"), nullptr};
        char* const nothing[] = {nullptr};
        ::execve("/proc/self/exe", arguments, nothing);
      });
    });
    (void)middle;
    sleep_for_ever();
  }
  // A child with the mark of a launch of its own, in its limits and in its environment.
  if (mode == "marked_child") {
    const std::string self = argv[0], mark = "CPPWORKER_TREE=" + argument;
    forked([&] {
      // The lowest that is a mark: an unprivileged process may lower what it has.
      const rlimit lowest{std::uint64_t{1} << 60, std::uint64_t{1} << 60};
      ::setrlimit(RLIMIT_LOCKS, &lowest);
      char* const arguments[] = {const_cast<char*>(self.c_str()), const_cast<char*>("sleep"), nullptr};
      char* const variables[] = {const_cast<char*>(mark.c_str()), nullptr};
      ::execve("/proc/self/exe", arguments, variables);
    });
    sleep_for_ever();
  }
  // A child in a session of its own that sleeps as if a driver held it.
  if (mode == "held_by_kernel") {
    forked([] {
      ::setsid();
      sleep_held_by_kernel();
    });
    sleep_for_ever();
  }
  // The same, by a thread beside the main one.
  if (mode == "held_thread") {
    std::thread(sleep_held_by_kernel).detach();
    sleep_for_ever();
  }
  // So many children, each in a group of its own, which fork once more.
  if (mode == "bomb") {
    for (int i = 0; i < ::atoi(argument.c_str()); ++i)
      forked([] {
        ::setpgid(0, 0);
        forked([] { sleep_for_ever(); });
        sleep_for_ever();
      });
    say_up_and_sleep();
  }
  // Orphans that end at once: their zombies go to whoever adopts them. Stays itself.
  if (mode == "make_orphans") {
    for (int i = 0; i < ::atoi(argument.c_str()); ++i) {
      const pid_t middle = forked([] { forked([] { ::_exit(3); }); });
      (void)middle;
    }
    while (true) ::pause();
  }
  ::fprintf(stderr, "unknown mode\n");
  return 64;
}
