#include "supervisor/log_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

#include "common/logging.hpp"

namespace cppworker {
namespace {

// Large enough that a burst of lines is few system calls, small enough to lose little when we are killed.
constexpr std::size_t kBufferSize = 64 << 10;
// Logs may hold prompts.
constexpr mode_t kMode = 0600;

}  // namespace

LogFile::LogFile(std::string path, LogFileLimits limits) : path_(std::move(path)), limits_(limits) {}

LogFile::~LogFile() {
  flush();
}

void LogFile::append(std::string_view line) {
  buffer_ += line;
  buffer_ += '\n';
  if (buffer_.size() >= kBufferSize) flush();
}

void LogFile::flush() {
  if (buffer_.empty()) return;
  if (file_ && size_ > 0 && size_ + buffer_.size() > limits_.largest) rotate();
  if (file_ || open()) {
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t written = ::write(file_.get(), rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        note_error(errno);
        break;
      }
      size_ += static_cast<std::uint64_t>(written);
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    if (rest.empty() && failing_) {
      failing_ = false;
      spdlog::info("Writing {} works again", path_);
    }
  }
  buffer_.clear();
}

void LogFile::reopen() {
  flush();
  file_.reset();
}

bool LogFile::open() {
  // O_NONBLOCK: opening a named pipe waits for its other end.
  UniqueFd file(
      ::open(path_.c_str(), O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC | O_NONBLOCK | O_NOFOLLOW, kMode));
  struct stat about {};
  if (!file || ::fstat(file.get(), &about) != 0) {
    note_error(errno);
    return false;
  }
  if (!S_ISREG(about.st_mode)) {
    note_error(EINVAL);
    return false;
  }
  file_ = std::move(file);
  size_ = static_cast<std::uint64_t>(about.st_size);
  if (size_ > 0 && size_ + buffer_.size() > limits_.largest) rotate();
  return file_ || open();
}

// name.1 becomes name.2, name becomes name.1; the oldest is overwritten. When renaming fails (a read-only
// folder) the file is emptied instead: being bounded matters more than old lines.
void LogFile::rotate() {
  ++rotations_;
  for (int number = limits_.files - 1; number > 1; --number)
    ::rename((path_ + "." + std::to_string(number - 1)).c_str(),
             (path_ + "." + std::to_string(number)).c_str());
  const bool moved = limits_.files > 1 && ::rename(path_.c_str(), (path_ + ".1").c_str()) == 0;
  if (moved) {
    file_.reset();
  } else if (::ftruncate(file_.get(), 0) == 0) {
    size_ = 0;
  } else {
    note_error(errno);
  }
}

void LogFile::note_error(int cause) {
  ++write_errors_;
  if (std::exchange(failing_, true)) return;
  spdlog::warn("Cannot write {}: {}; lines are lost until it works again", path_, std::strerror(cause));
}

}  // namespace cppworker
