// Follows a log file that a server writes itself, as `tail -F` does: across rotation (another file gets its
// name), truncation (it begins anew, or a copy was taken and it was emptied), and half lines.
//
// Polled by its owner, when a FileWatch says so and now and then. What stood in the file when a launch began
// is an earlier launch's, and isn't read. Threads: one owner.
#pragma once

#include <cstdint>
#include <string>

#include "common/unique_fd.hpp"
#include "supervisor/line_splitter.hpp"

namespace cppworker {

class LogFollower {
 public:
  // In one poll(), so that a file that grows by gigabytes doesn't hold up the loop.
  static constexpr std::size_t kMostPerPoll = 1 << 20;

  LogFollower(std::string path, LineSplitter::Sink sink) : path_(std::move(path)), sink_(std::move(sink)) {}

  // A launch begins: only what is written from now on counts. The file needn't be there yet.
  void begin();
  // Hands over the lines that are new. Whether there was anything.
  bool poll();
  // The writer is gone: hands over all up to the end, and what stands there without a line's end is a line,
  // too. Of what is longer than two polls take, the beginning and the last words.
  void finish();

 private:
  // Somebody may have emptied the file and written more than there was before: these bytes tell.
  static constexpr std::size_t kRememberedBytes = 64;

  bool open();
  bool name_is_anothers() const;
  bool begins_anew() const;
  std::size_t read_new();
  void pass_over_all_but_the_end();
  void begin_file(std::uint64_t offset);

  const std::string path_;
  const LineSplitter::Sink sink_;
  UniqueFd file_;
  std::uint64_t offset_ = 0;
  std::string before_;  // the last bytes before the offset
  LineSplitter splitter_;
  bool complained_ = false;
};

}  // namespace cppworker
