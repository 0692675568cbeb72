#include "supervisor/log_follower.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstring>
#include <utility>

#include "common/logging.hpp"

namespace cppworker {
namespace {

constexpr std::size_t kReadSize = 64 << 10;

// After the writer's end. What it has left takes four; a child of its may write on.
constexpr int kMostLastPolls = 8;

std::size_t read_at(int file, char* into, std::size_t size, std::uint64_t offset) {
  const ssize_t got = ::pread(file, into, size, static_cast<off_t>(offset));
  return got > 0 ? static_cast<std::size_t>(got) : 0;
}

std::uint64_t size_of(int file) {
  struct stat about {};
  return ::fstat(file, &about) == 0 ? static_cast<std::uint64_t>(about.st_size) : 0;
}

}  // namespace

void LogFollower::begin() {
  file_.reset();
  splitter_ = LineSplitter();
  begin_file(0);
  if (open()) begin_file(size_of(file_.get()));
}

bool LogFollower::poll() {
  if (!file_) {
    if (!open()) return false;
    begin_file(0);
  }
  if (begins_anew()) {
    splitter_.finish(sink_);
    begin_file(0);
  }
  // A writer goes on in the file that was moved away until it opens the new one: that is read to its end
  // first, and once more.
  if (read_new() > 0) return true;
  if (!name_is_anothers()) return false;
  splitter_.finish(sink_);
  file_.reset();
  if (!open()) return false;
  begin_file(0);
  return read_new() > 0;
}

void LogFollower::finish() {
  for (int polls = 0; polls < kMostLastPolls && poll(); ++polls) pass_over_all_but_the_end();
  splitter_.finish(sink_);
}

// To the beginning of a line: the end of one may look like anything.
void LogFollower::pass_over_all_but_the_end() {
  const std::uint64_t size = size_of(file_.get());
  if (size <= offset_ + kMostPerPoll) return;
  splitter_.finish(sink_);
  const std::uint64_t from = size - kMostPerPoll;
  std::string start(kReadSize, '\0');
  start.resize(read_at(file_.get(), start.data(), start.size(), from));
  const std::size_t line_end = start.find('\n');
  const std::uint64_t passed = from + (line_end == std::string::npos ? 0 : line_end + 1) - offset_;
  begin_file(offset_ + passed);
  spdlog::warn("{} bytes of the log {} are passed over; its end follows", passed, printable(path_));
}

// Remembers what stands before the offset.
void LogFollower::begin_file(std::uint64_t offset) {
  offset_ = offset;
  before_.assign(std::min<std::uint64_t>(offset, kRememberedBytes), '\0');
  if (file_) before_.resize(read_at(file_.get(), before_.data(), before_.size(), offset - before_.size()));
}

bool LogFollower::open() {
  // O_NONBLOCK: opening a named pipe waits for its other end.
  UniqueFd file(::open(path_.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  struct stat about {};
  std::string problem;
  if (!file && errno == ENOENT) return false;
  if (!file || ::fstat(file.get(), &about) != 0)
    problem = std::strerror(errno);
  else if (!S_ISREG(about.st_mode))
    problem = "it is no regular file";
  if (!problem.empty()) {
    if (!std::exchange(complained_, true))
      spdlog::warn("Cannot follow the log {}: {}; what the server prints is read all the same",
                   printable(path_), problem);
    return false;
  }
  file_ = std::move(file);
  return true;
}

bool LogFollower::name_is_anothers() const {
  struct stat named {
  }, ours{};
  if (::stat(path_.c_str(), &named) != 0 || ::fstat(file_.get(), &ours) != 0) return false;
  return named.st_ino != ours.st_ino || named.st_dev != ours.st_dev;
}

bool LogFollower::begins_anew() const {
  const std::uint64_t size = size_of(file_.get());
  if (size < offset_) return true;
  if (size == offset_ || before_.empty()) return false;
  std::string now(before_.size(), '\0');
  now.resize(read_at(file_.get(), now.data(), now.size(), offset_ - before_.size()));
  return now != before_;
}

std::size_t LogFollower::read_new() {
  static std::array<char, kReadSize> buffer;  // one thread
  std::size_t all = 0;
  while (all < kMostPerPoll) {
    const std::size_t got = read_at(file_.get(), buffer.data(), buffer.size(), offset_);
    if (got == 0) break;
    const std::string_view bytes(buffer.data(), got);
    offset_ += got;
    all += got;
    before_ += bytes.substr(got > kRememberedBytes ? got - kRememberedBytes : 0);
    if (before_.size() > kRememberedBytes) before_.erase(0, before_.size() - kRememberedBytes);
    splitter_.feed(bytes, sink_);
  }
  return all;
}

}  // namespace cppworker
