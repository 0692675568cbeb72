// Waits until a file may have changed: written to, made, or replaced by another of its name. inotify(7).
//
// It is a hint. File systems that others write to (NFS), and files that an overlay copies up at their first
// write, change without a word; so whoever waits looks now and then all the same, and often where `works()`
// says that nothing will be heard. Threads: one owner's loop.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "common/async.hpp"

namespace cppworker {

class FileWatch {
 public:
  // Neither the file nor its folder need be there yet.
  FileWatch(const asio::any_io_executor& executor, std::string path);

  // Watches what has the name now; call it before looking at the file, so that nothing is missed in between.
  void renew();
  // The file is watched, or the folder in which it is to appear.
  bool works() const { return file_ >= 0 || folder_ >= 0; }
  // Returns when something has changed since the last call, or `limit` has passed.
  Awaitable<> changed(std::chrono::nanoseconds limit);

 private:
  bool concerns_us(std::string_view events) const;
  Awaitable<bool> hear();

  const std::string path_, folder_path_, name_;
  asio::posix::stream_descriptor events_;  // closed where there is no inotify
  int file_ = -1, folder_ = -1;            // watches; -1: none
};

}  // namespace cppworker
