#include "supervisor/log_file_writer.hpp"

#include <condition_variable>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>

#include "common/logging.hpp"
#include "common/quiet_thread.hpp"
#include "supervisor/proc_text.hpp"

namespace cppworker {
namespace {

// A block that a burst has made larger goes back to the system.
constexpr std::size_t kKeptCapacity = 64 << 10;
// A server that prints more than the disk takes, for hours, has gaps many times a second: the file tells of
// each, our own log of the first, and of what there was since when it speaks again.
constexpr std::chrono::minutes kSilence{1};

}  // namespace

struct LogFileWriter::Shared {
  // Lines with their ends, and a place among them where the file is opened anew.
  struct Batch {
    std::string text;
    std::optional<std::size_t> reopen_at;
    std::uint64_t dropped = 0;  // lines behind these
  };

  explicit Shared(std::string file_path) : path(std::move(file_path)) {}

  void run(LogFile& file) {
    Batch taken;
    std::unique_lock lock(mutex);
    while (true) {
      changed.wait(lock, [this] { return asked || ending; });
      if (!asked) return;
      asked = false;
      writing = true;
      std::swap(taken, waiting);
      lock.unlock();
      write(file, taken);
      lock.lock();
      note_end_of(taken);
      writing = false;
      changed.notify_all();
    }
  }

  void write(LogFile& file, Batch& batch) {
    std::string_view text = batch.text;
    if (batch.reopen_at) {
      append_lines(file, text.substr(0, *batch.reopen_at));
      file.reopen();
      text.remove_prefix(*batch.reopen_at);
    }
    append_lines(file, text);
    if (batch.dropped > 0)
      file.append("[cppworker] " + std::to_string(batch.dropped) +
                  " lines were dropped here: the disk had taken none for a while");
    file.flush();
  }

  // Ready to take the next one.
  void note_end_of(Batch& batch) {
    dropped += batch.dropped;
    batch.dropped = 0;
    batch.reopen_at.reset();
    batch.text.clear();
    if (batch.text.capacity() > kKeptCapacity) batch.text.shrink_to_fit();
    if (!complaining || waiting.dropped > 0) return;
    complaining = false;
    silent_until = std::chrono::steady_clock::now() + kSilence;
    if (const auto logger = log.lock())
      logger->warn("Writing {} goes on; {} lines were dropped", path, std::exchange(dropped, 0));
  }

  void note_drop() {
    ++waiting.dropped;
    if (complaining || std::chrono::steady_clock::now() < silent_until) return;
    complaining = true;
    if (const auto logger = log.lock())
      logger->warn("Cannot write {}: the disk doesn't keep up, or hangs; lines are dropped until it does",
                   path);
  }

  static void append_lines(LogFile& file, std::string_view text) {
    for_each_line(text, [&file](std::string_view line) { file.append(line); });
  }

  bool done() const { return !asked && !writing; }

  const std::string path;
  // As LogFile's.
  const std::weak_ptr<spdlog::logger> log = spdlog::default_logger();
  std::mutex mutex;
  std::condition_variable changed;
  Batch waiting;
  bool asked = false, writing = false, ending = false;
  std::uint64_t dropped = 0;  // since our own log told of it
  bool complaining = false;   // our own log says that it can't be written
  std::chrono::steady_clock::time_point silent_until{};
  std::thread thread;
};

LogFileWriter::LogFileWriter(std::string path, LogFileLimits limits, LogFileSystem system,
                             std::chrono::milliseconds end_limit)
    : shared_(std::make_shared<Shared>(path)), end_limit_(end_limit) {
  auto file = std::make_unique<LogFile>(std::move(path), limits, std::move(system));
  shared_->thread = start_quiet_thread([shared = shared_, file = std::move(file)] { shared->run(*file); });
}

LogFileWriter::~LogFileWriter() {
  flush();
  std::thread thread = std::move(shared_->thread);
  std::unique_lock lock(shared_->mutex);
  const bool done = shared_->changed.wait_for(lock, end_limit_, [this] { return shared_->done(); });
  shared_->ending = true;
  lock.unlock();
  shared_->changed.notify_all();
  if (!done) spdlog::warn("Cannot write {}: the disk doesn't answer; its last lines are lost", shared_->path);
  done ? thread.join() : thread.detach();
}

void LogFileWriter::append(std::string_view line) {
  const std::lock_guard lock(shared_->mutex);
  Shared::Batch& waiting = shared_->waiting;
  // Behind the first that is dropped all are, so that they are one gap.
  if (waiting.dropped > 0 || waiting.text.size() + line.size() >= kMostQueued) return shared_->note_drop();
  waiting.text += line;
  waiting.text += '\n';
}

void LogFileWriter::flush() {
  {
    const std::lock_guard lock(shared_->mutex);
    if (shared_->waiting.text.empty() && !shared_->waiting.reopen_at) return;
    shared_->asked = true;
  }
  shared_->changed.notify_all();
}

void LogFileWriter::reopen() {
  {
    const std::lock_guard lock(shared_->mutex);
    // A second one before the first is done finds what the first opens: the name's newest file.
    if (!shared_->waiting.reopen_at) shared_->waiting.reopen_at = shared_->waiting.text.size();
  }
  flush();
}

}  // namespace cppworker
