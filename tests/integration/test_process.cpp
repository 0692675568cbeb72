#include "test_process.hpp"

#include <fcntl.h>
#include <poll.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <csignal>
#include <stdexcept>

namespace cppworker::testing {
namespace {

using Clock = std::chrono::steady_clock;

int remaining_ms(Clock::time_point until) {
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now()).count();
  return left > 0 ? static_cast<int>(left) : 0;
}

}  // namespace

TestProcess::TestProcess(std::vector<std::string> argv, std::map<std::string, std::string> environment) {
  int fds[2];
  if (::pipe2(fds, O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
  pipe_.reset(fds[0]);
  UniqueFd writer(fds[1]);
  posix_spawn_file_actions_t actions;
  posix_spawn_file_actions_init(&actions);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), 1);
  posix_spawn_file_actions_adddup2(&actions, writer.get(), 2);
  std::vector<char*> arguments, variables;
  for (std::string& argument : argv) arguments.push_back(argument.data());
  arguments.push_back(nullptr);
  std::vector<std::string> pairs;
  for (const auto& [name, value] : environment) pairs.push_back(name + "=" + value);
  for (std::string& pair : pairs) variables.push_back(pair.data());
  variables.push_back(nullptr);
  int error = ::posix_spawn(&pid_, arguments[0], &actions, nullptr, arguments.data(), variables.data());
  posix_spawn_file_actions_destroy(&actions);
  if (error != 0) throw std::runtime_error("cannot start " + argv[0]);
  pidfd_.reset(static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0)));
}

TestProcess::~TestProcess() {
  if (status_) return;
  ::kill(pid_, SIGKILL);
  ::waitpid(pid_, nullptr, 0);
}

void TestProcess::signal(int number) {
  if (!status_) ::kill(pid_, number);
}

bool TestProcess::read_some(Clock::time_point until) {
  pollfd waiting{pipe_.get(), POLLIN, 0};
  if (::poll(&waiting, 1, remaining_ms(until)) <= 0) return false;
  char buffer[4096];
  ssize_t n = ::read(pipe_.get(), buffer, sizeof buffer);
  if (n <= 0) return false;
  output_.append(buffer, static_cast<std::size_t>(n));
  return true;
}

std::optional<std::string> TestProcess::wait_for_line(std::string_view part) {
  auto until = Clock::now() + kPatience;
  while (true) {
    for (std::size_t end; (end = output_.find('\n', searched_)) != std::string::npos;) {
      std::string line = output_.substr(searched_, end - searched_);
      searched_ = end + 1;
      if (line.find(part) != std::string::npos) return line;
    }
    if (!read_some(until)) return std::nullopt;
  }
}

void TestProcess::fill_output() {
  const std::string same_pipe = "/proc/" + std::to_string(pid_) + "/fd/2";
  const UniqueFd writer(::open(same_pipe.c_str(), O_WRONLY | O_NONBLOCK | O_CLOEXEC));
  while (::write(writer.get(), "\n", 1) == 1) {
  }
  if (errno != EAGAIN) throw std::runtime_error("cannot fill the pipe of a process");
}

bool TestProcess::has_ended() const {
  pollfd watched{pidfd_.get(), POLLIN, 0};
  return ::poll(&watched, 1, 0) == 1;
}

std::optional<int> TestProcess::wait_for_exit() {
  auto until = Clock::now() + kPatience;
  // A full pipe would keep it from ending: the output is read meanwhile.
  while (!status_) {
    pollfd waiting[2] = {{pidfd_.get(), POLLIN, 0}, {pipe_.get(), POLLIN, 0}};
    if (::poll(waiting, pipe_ ? 2 : 1, remaining_ms(until)) <= 0) return std::nullopt;
    if (pipe_ && waiting[1].revents != 0 && !read_some(until)) pipe_.reset();
    if (waiting[0].revents == 0) continue;
    int status = 0;
    ::waitpid(pid_, &status, 0);
    status_ = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
  }
  if (pipe_) {
    while (read_some(Clock::now())) {
    }
  }
  return status_;
}

}  // namespace cppworker::testing
