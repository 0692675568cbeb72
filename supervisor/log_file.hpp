// A log file that is bounded: name, name.1 (newer) and name.2 (older) at most.
//
// Writing a log must never hurt the service: errors (a full disk, a folder that vanished) are counted, the
// lines are lost, and the next flush tries again. Threads: one owner. It writes to the page cache of a local
// disk, which returns at once; a path that is no regular file (a pipe without a reader would block) is
// refused.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "common/unique_fd.hpp"

namespace cppworker {

struct LogFileLimits {
  std::uint64_t largest =
      10 << 20;   // bytes of one file: an editor still opens it, and it holds days of a server
  int files = 3;  // with the one being written
};

class LogFile {
 public:
  explicit LogFile(std::string path, LogFileLimits limits = {});
  ~LogFile();
  LogFile(const LogFile&) = delete;
  LogFile& operator=(const LogFile&) = delete;

  // Adds the line and its end to a buffer, which is written when it is full. Control characters pass: the
  // file has what the server printed.
  void append(std::string_view line);

  // Writes what is buffered: after each piece of output, so that `tail -f` follows.
  void flush();

  // Closes and opens by name, for after somebody else has moved the file.
  void reopen();

  std::uint64_t write_errors() const { return write_errors_; }
  std::uint64_t rotations() const { return rotations_; }

 private:
  bool open();
  void rotate();
  void note_error(int cause);

  std::string path_;
  LogFileLimits limits_;
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::string buffer_;
  std::uint64_t write_errors_ = 0;
  std::uint64_t rotations_ = 0;
  bool failing_ = false;  // says so once, not with every line
};

}  // namespace cppworker
