// A log file that is bounded: name, name.1 (newer), name.2 (older) and so on, in number and in bytes.
//
// Writing a log must never hurt the service: errors (a full disk, a folder that vanished) are counted, the
// lines are lost, and the next flush tries again. Threads: one owner, who waits for the disk
// (log_file_writer.hpp is for those who can't). A path that is no regular file (a pipe without a reader would
// block) is refused.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <chrono>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "common/logging.hpp"
#include "common/unique_fd.hpp"

namespace cppworker {

struct LogFileLimits {
  std::uint64_t largest =
      10 << 20;   // bytes of one file: an editor still opens it, and it holds days of a server
  int files = 3;  // with the one being written
  // After this the file makes room for a new one, however small it is; 0: never.
  std::chrono::seconds oldest{0};
  // Of all files together, whatever an earlier start with other limits has left; at least `largest`.
  std::uint64_t total = 64 << 20;

  bool operator==(const LogFileLimits&) const = default;
};

// The system's, but in tests.
struct LogFileSystem {
  std::function<std::chrono::system_clock::time_point()> now = std::chrono::system_clock::now;
  std::function<ssize_t(int, const void*, std::size_t)> write = ::write;
};

class LogFile {
 public:
  explicit LogFile(std::string path, LogFileLimits limits = {}, LogFileSystem system = {});
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
  bool is_due() const;
  void rotate();
  void drop_surplus();
  void note_error(int cause);

  std::string path_;
  LogFileLimits limits_;
  LogFileSystem system_;
  // A thread that hangs in a write may find nothing to say it with when it is through.
  std::weak_ptr<spdlog::logger> log_ = spdlog::default_logger();
  UniqueFd file_;
  std::uint64_t size_ = 0;
  std::chrono::system_clock::time_point began_{};  // when the file was made, or emptied
  std::string buffer_;
  std::uint64_t write_errors_ = 0;
  std::uint64_t rotations_ = 0;
  bool torn_ = false;     // the file's last line has no end
  bool failing_ = false;  // says so once, not with every line
};

}  // namespace cppworker
