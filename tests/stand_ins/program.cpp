#include "tests/stand_ins/program.hpp"

#include <fcntl.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <stdexcept>

namespace cppworker::stand_ins {

Program::Program(std::vector<std::string> argv, const Environment& environment) {
  std::vector<std::string> variables;
  for (char** entry = environ; *entry; ++entry) {
    const std::string variable = *entry;
    if (!environment.contains(variable.substr(0, variable.find('=')))) variables.push_back(variable);
  }
  for (const auto& [name, value] : environment) variables.push_back(name + "=" + value);
  std::vector<char*> arguments, envp;
  for (std::string& argument : argv) arguments.push_back(argument.data());
  for (std::string& variable : variables) envp.push_back(variable.data());
  arguments.push_back(nullptr);
  envp.push_back(nullptr);

  int ends[2];
  if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("cannot make a pipe");
  pipe_.reset(ends[0]);
  const UniqueFd write_end(ends[1]);
  pid_ = ::fork();
  if (pid_ == 0) {
    ::dup2(write_end.get(), STDOUT_FILENO);
    ::dup2(write_end.get(), STDERR_FILENO);
    ::execve(arguments[0], arguments.data(), envp.data());
    ::_exit(127);
  }
  if (pid_ < 0) throw std::runtime_error("cannot start " + argv[0]);
}

Program::~Program() {
  if (pid_ > 0) {
    ::kill(pid_, SIGKILL);
    wait_for_exit();
  }
}

std::string Program::wait_for_line(const std::string& text) {
  for (;;) {
    for (std::size_t end; (end = output_.find('\n', seen_)) != std::string::npos;) {
      const std::string line = output_.substr(seen_, end - seen_);
      seen_ = end + 1;
      if (line.find(text) != std::string::npos) return line;
    }
    char buffer[4096];
    const ssize_t got = ::read(pipe_.get(), buffer, sizeof buffer);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return "";
    output_.append(buffer, static_cast<std::size_t>(got));
  }
}

std::uint16_t Program::wait_for_port() {
  const std::string line = wait_for_line("listening on 127.0.0.1:");
  return line.empty() ? 0 : static_cast<std::uint16_t>(std::stoi(line.substr(line.rfind(':') + 1)));
}

void Program::signal(int number) {
  ::kill(pid_, number);
}

int Program::wait_for_exit() {
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  pid_ = -1;
  return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

}  // namespace cppworker::stand_ins
