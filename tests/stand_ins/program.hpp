// A child process of a test: started with an environment of its own, read line by line, and gone when this
// object is. Waits by reading, never by sleeping; a line that never comes ends the test by its timeout.
#pragma once

#include <sys/types.h>

#include <map>
#include <string>
#include <vector>

#include "common/unique_fd.hpp"

namespace cppworker::stand_ins {

class Program {
 public:
  using Environment = std::map<std::string, std::string>;

  // argv[0] is the path of the program. The environment is the test's own plus `environment`. stdout and
  // stderr come through one pipe.
  Program(std::vector<std::string> argv, const Environment& environment);
  ~Program();  // kills it if it still runs
  Program(const Program&) = delete;

  // The next line that contains `text`; empty when the output ended before.
  std::string wait_for_line(const std::string& text);
  // The port in the next "listening on 127.0.0.1:PORT"; 0 when the output ended before.
  std::uint16_t wait_for_port();
  void signal(int number);
  // Exit code, or minus the signal that ended it.
  int wait_for_exit();

  pid_t pid() const { return pid_; }
  const std::string& output() const { return output_; }  // as far as it was read

 private:
  pid_t pid_ = -1;
  UniqueFd pipe_;
  std::string output_;
  std::size_t seen_ = 0;  // lines before this offset were looked at
};

}  // namespace cppworker::stand_ins
