#include "supervisor/log_file.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <utility>

namespace cppworker {
namespace {

// Large enough that a burst of lines is few system calls, small enough to lose little when we are killed.
constexpr std::size_t kBufferSize = 64 << 10;
// Logs may hold prompts.
constexpr mode_t kMode = 0600;

// When the file was made; where the file system doesn't know, when it was written last.
std::chrono::system_clock::time_point birth_of(int file, const struct stat& about) {
  struct statx more {};
  const bool known =
      ::statx(file, "", AT_EMPTY_PATH, STATX_BTIME, &more) == 0 && (more.stx_mask & STATX_BTIME);
  return std::chrono::system_clock::from_time_t(known ? more.stx_btime.tv_sec : about.st_mtime);
}

}  // namespace

LogFile::LogFile(std::string path, LogFileLimits limits, LogFileSystem system)
    : path_(std::move(path)), limits_(limits), system_(std::move(system)) {}

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
  if (file_ && is_due()) rotate();
  if (file_ || open()) {
    if (torn_) buffer_.insert(0, 1, '\n');
    std::string_view rest = buffer_;
    while (!rest.empty()) {
      const ssize_t written = system_.write(file_.get(), rest.data(), rest.size());
      if (written < 0 && errno == EINTR) continue;
      if (written < 0) {
        note_error(errno);
        break;
      }
      size_ += static_cast<std::uint64_t>(written);
      rest.remove_prefix(static_cast<std::size_t>(written));
    }
    // A disk that fills up takes half a line: the next one mustn't be glued to it.
    if (rest.size() < buffer_.size()) torn_ = buffer_[buffer_.size() - rest.size() - 1] != '\n';
    if (rest.empty() && failing_) {
      failing_ = false;
      if (const auto log = log_.lock()) log->info("Writing {} works again", path_);
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
  began_ = size_ == 0 ? system_.now() : birth_of(file_.get(), about);
  if (size_ == 0) torn_ = false;
  if (is_due()) rotate();
  return file_ || open();
}

bool LogFile::is_due() const {
  if (size_ == 0) return false;
  const bool full = size_ + buffer_.size() > limits_.largest;
  const bool old = limits_.oldest.count() > 0 && system_.now() - began_ >= limits_.oldest;
  return full || old;
}

// name.1 becomes name.2, name becomes name.1; the oldest is overwritten, or removed where it is the only one:
// a new file has its age from the file system. When that fails (a read-only folder) the file is emptied
// instead: being bounded matters more than old lines.
void LogFile::rotate() {
  ++rotations_;
  for (int number = limits_.files - 1; number > 1; --number)
    ::rename((path_ + "." + std::to_string(number - 1)).c_str(),
             (path_ + "." + std::to_string(number)).c_str());
  const bool moved =
      limits_.files > 1 ? ::rename(path_.c_str(), (path_ + ".1").c_str()) == 0 : ::unlink(path_.c_str()) == 0;
  drop_surplus();
  if (moved) {
    file_.reset();
  } else if (::ftruncate(file_.get(), 0) == 0) {
    size_ = 0;
    began_ = system_.now();
    torn_ = false;
  } else {
    note_error(errno);
  }
}

// Beyond the number of files, or of bytes with the new one at its largest: the oldest go first.
void LogFile::drop_surplus() {
  std::uint64_t bytes = limits_.largest;
  for (int number = 1;; ++number) {
    const std::string name = path_ + "." + std::to_string(number);
    struct stat about {};
    if (::stat(name.c_str(), &about) != 0) {
      // A gap among ours; behind them it is the end.
      if (number < limits_.files) continue;
      return;
    }
    bytes += static_cast<std::uint64_t>(about.st_size);
    if (number >= limits_.files || bytes > limits_.total)
      if (::unlink(name.c_str()) != 0) return;
  }
}

void LogFile::note_error(int cause) {
  ++write_errors_;
  if (std::exchange(failing_, true)) return;
  if (const auto log = log_.lock())
    log->warn("Cannot write {}: {}; lines are lost until it works again", path_, std::strerror(cause));
}

}  // namespace cppworker
