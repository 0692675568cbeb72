// A LogFile in the hands of a thread of its own: the disk below may hang (a network mount whose server is
// gone, a controller that resets itself), and then the thread does, not the supervisor's loop, which reads
// what the inference server prints.
//
// Lines are queued. Beyond kMostQueued bytes they are dropped; once the disk takes them again a line in the
// file says how many, and so does our own log. Threads: one owner, beside the one within.
#pragma once

#include <chrono>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "supervisor/log_file.hpp"

namespace cppworker {

class LogFileWriter {
 public:
  // Of lines that wait; as much again may be on its way out. Seconds of a server that prints as fast as it
  // can, and hours of one that serves.
  static constexpr std::size_t kMostQueued = 1 << 20;
  // At the end of a program: a disk that works takes what is left in less, and one that hangs isn't worth
  // more.
  static constexpr std::chrono::milliseconds kEndLimit{1000};

  // `system` and `end_limit` are others in tests alone. Throws std::system_error where no thread can be
  // started.
  explicit LogFileWriter(std::string path, LogFileLimits limits = {}, LogFileSystem system = {},
                         std::chrono::milliseconds end_limit = kEndLimit);
  // Waits until everything is written, `end_limit` at the most; the thread is left behind if it hangs.
  ~LogFileWriter();
  LogFileWriter(const LogFileWriter&) = delete;
  LogFileWriter& operator=(const LogFileWriter&) = delete;

  // As LogFile's; none of them waits. flush() has written what was appended.
  void append(std::string_view line);
  void flush();
  void reopen();

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // also the thread's, which may outlive us
  const std::chrono::milliseconds end_limit_;
};

}  // namespace cppworker
