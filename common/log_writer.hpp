// The log's way out: lines are queued, and a thread of their own writes them to a descriptor.
//
// Whoever reads our standard error may stop reading without going away (a collector that hangs, a terminal
// after Ctrl-S); a write then waits for ever, and must not be the supervisor's loop or a proxy's. Beyond
// kMostQueued bytes lines are dropped, and counted in a line that follows once writing works again. A
// descriptor whose reader is gone takes nothing; the program must ignore SIGPIPE.
//
// Threads: any. A fork copies no other thread: the child must not log. What is queued when the process is
// killed is lost: as a rule nothing, as lines are written as they come.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <spdlog/formatter.h>
#include <spdlog/sinks/sink.h>

namespace cppworker {

class LogWriter : public spdlog::sinks::sink {
 public:
  // Of lines that wait; as much again may be on its way out. Minutes of a worker in trouble.
  static constexpr std::size_t kMostQueued = 256 << 10;
  // At the end of a program: a reader that lives takes what is left in less, and one that hangs isn't worth
  // more.
  static constexpr std::chrono::milliseconds kFlushLimit{1000};

  // The descriptor stays the caller's, and open as long as the process lives. `flush_limit` is another in
  // tests alone.
  explicit LogWriter(int fd, std::chrono::milliseconds flush_limit = kFlushLimit);
  ~LogWriter() override;  // flushes

  void log(const spdlog::details::log_msg& message) override;
  // Waits until everything is written, `flush_limit` at the most.
  void flush() override;
  void set_pattern(const std::string& pattern) override;
  void set_formatter(std::unique_ptr<spdlog::formatter> formatter) override;

 private:
  struct Shared;
  std::shared_ptr<Shared> shared_;  // also the thread's, which may have to be left behind in a write
  const std::chrono::milliseconds flush_limit_;
};

}  // namespace cppworker
