#include "common/log_writer.hpp"

#include <poll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <cerrno>
#include <condition_variable>
#include <mutex>
#include <string_view>
#include <thread>
#include <utility>
#include <spdlog/pattern_formatter.h>

#include "common/quiet_thread.hpp"

namespace cppworker {
namespace {

// What a pipe takes whole, whoever else writes to it (PIPE_BUF): the lines of a worker's programs share one.
constexpr std::size_t kWholePiece = 4096;

// As many whole lines as a pipe takes whole; a longer line by itself.
std::string_view next_piece(std::string_view text) {
  if (text.size() <= kWholePiece) return text;
  std::size_t end = text.rfind('\n', kWholePiece - 1);
  if (end == std::string_view::npos) end = text.find('\n');
  return text.substr(0, end == std::string_view::npos ? text.size() : end + 1);
}

// False when nobody will ever take it.
bool write_whole(int fd, std::string_view piece) {
  while (!piece.empty()) {
    const ssize_t written = ::write(fd, piece.data(), piece.size());
    if (written >= 0) {
      piece.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // somebody who shares it has set O_NONBLOCK
      pollfd waiting{fd, POLLOUT, 0};
      ::poll(&waiting, 1, -1);
    } else if (errno != EINTR) {
      return false;
    }
  }
  return true;
}

}  // namespace

struct LogWriter::Shared {
  explicit Shared(int descriptor) : fd(descriptor) {}

  void append(const spdlog::details::log_msg& message) {
    spdlog::memory_buf_t line;
    formatter->format(message, line);
    if (queue.size() + line.size() > kMostQueued) {
      ++dropped;
      dropped_by.assign(message.logger_name.data(), message.logger_name.size());
      return;
    }
    queue.append(line.data(), line.size());
  }

  // Behind the last line that found room, and before the first that does again.
  void append_notice() {
    const std::string text = std::to_string(std::exchange(dropped, 0)) +
                             " lines of the log were dropped here: nobody had read it for a while";
    spdlog::memory_buf_t line;
    formatter->format({dropped_by, spdlog::level::warn, text}, line);
    queue.append(line.data(), line.size());
  }

  void run() {
    // It is there before the proxy gives up what it doesn't need, which for this is each thread's own affair.
    ::prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
    std::string taken;
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return ending || !queue.empty(); });
      if (queue.empty()) return;
      if (dropped > 0) append_notice();
      taken.swap(queue);
      writing = true;
      lock.unlock();
      std::string_view rest = taken;
      while (!rest.empty()) {
        const std::string_view piece = next_piece(rest);
        if (!write_whole(fd, piece)) break;
        rest.remove_prefix(piece.size());
      }
      taken.clear();
      lock.lock();
      writing = false;
      changed.notify_all();
    }
  }

  const int fd;
  std::mutex mutex;
  std::condition_variable changed;
  std::unique_ptr<spdlog::formatter> formatter = std::make_unique<spdlog::pattern_formatter>();
  std::string queue;
  std::uint64_t dropped = 0;
  std::string dropped_by;
  bool writing = false, ending = false;
  std::thread thread;
};

LogWriter::LogWriter(int fd, std::chrono::milliseconds flush_limit)
    : shared_(std::make_shared<Shared>(fd)), flush_limit_(flush_limit) {
  shared_->thread = start_quiet_thread([shared = shared_] { shared->run(); });
}

LogWriter::~LogWriter() {
  flush();
  std::thread thread = std::move(shared_->thread);
  std::unique_lock lock(shared_->mutex);
  shared_->ending = true;
  const bool stuck = shared_->writing || !shared_->queue.empty();
  lock.unlock();
  shared_->changed.notify_all();
  stuck ? thread.detach() : thread.join();
}

void LogWriter::log(const spdlog::details::log_msg& message) {
  const std::lock_guard lock(shared_->mutex);
  shared_->append(message);
  shared_->changed.notify_all();
}

void LogWriter::flush() {
  std::unique_lock lock(shared_->mutex);
  shared_->changed.wait_for(lock, flush_limit_,
                            [this] { return shared_->queue.empty() && !shared_->writing; });
}

void LogWriter::set_pattern(const std::string& pattern) {
  set_formatter(std::make_unique<spdlog::pattern_formatter>(pattern));
}

void LogWriter::set_formatter(std::unique_ptr<spdlog::formatter> formatter) {
  const std::lock_guard lock(shared_->mutex);
  shared_->formatter = std::move(formatter);
}

}  // namespace cppworker
