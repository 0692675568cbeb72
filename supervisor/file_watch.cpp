#include "supervisor/file_watch.hpp"

#include <sys/inotify.h>

#include <array>
#include <cstring>
#include <filesystem>

namespace cppworker {
namespace {

// Some 200 events with names of usual length.
constexpr std::size_t kReadSize = 8 << 10;

std::string folder_of(const std::string& path) {
  const std::string folder = std::filesystem::path(path).parent_path().string();
  return folder.empty() ? "." : folder;
}

}  // namespace

FileWatch::FileWatch(const asio::any_io_executor& executor, std::string path)
    : path_(std::move(path)),
      folder_path_(folder_of(path_)),
      name_(std::filesystem::path(path_).filename().string()),
      events_(executor) {
  const int fd = ::inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  boost::system::error_code ignored;
  if (fd >= 0) events_.assign(fd, ignored);  // fails for want of memory: it is closed with the process
  renew();
}

// Of the folder nothing but names, since other files in it may be busy. What is watched already is told by
// its number, and costs nothing.
void FileWatch::renew() {
  if (!events_.is_open()) return;
  const int fd = events_.native_handle();
  folder_ = ::inotify_add_watch(fd, folder_path_.c_str(), IN_CREATE | IN_MOVED_TO | IN_ONLYDIR);
  const int file = ::inotify_add_watch(fd, path_.c_str(), IN_MODIFY);
  // The one before has been moved away or removed. Its last lines are read when the new one is.
  if (file_ >= 0 && file_ != file) ::inotify_rm_watch(fd, file_);
  file_ = file;
}

// That a watch has ended says nothing, nor does a name that isn't ours. Lost events may have been.
bool FileWatch::concerns_us(std::string_view events) const {
  while (events.size() >= sizeof(inotify_event)) {
    inotify_event event;
    std::memcpy(&event, events.data(), sizeof event);
    const std::size_t size = sizeof event + event.len;
    if (size > events.size()) return true;
    const std::string_view padded = events.substr(sizeof event, event.len);
    const std::string_view name = padded.substr(0, padded.find('\0'));
    if (event.mask & (IN_MODIFY | IN_Q_OVERFLOW)) return true;
    if (event.mask & (IN_CREATE | IN_MOVED_TO) && name == name_) return true;
    events.remove_prefix(size);
  }
  return false;
}

Awaitable<bool> FileWatch::hear() {
  std::array<char, kReadSize> events;
  while (true) {
    auto [error, size] = co_await events_.async_read_some(asio::buffer(events), kTuple);
    if (error) co_return false;
    if (concerns_us({events.data(), size})) co_return true;
  }
}

Awaitable<> FileWatch::changed(std::chrono::nanoseconds limit) {
  if (works()) {
    const auto until = std::chrono::steady_clock::now() + limit;
    std::optional<bool> heard = co_await with_deadline(hear(), limit);
    if (!heard || *heard) co_return;
    limit = until - std::chrono::steady_clock::now();
  }
  co_await sleep_for(limit);
}

}  // namespace cppworker
