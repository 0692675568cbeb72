// Bytes of a child's output, cut into lines.
//
// A line ends at "\n", "\r\n" or "\r": progress bars redraw themselves with "\r" alone, and would otherwise
// be one line as long as the download. No state but the unfinished line; bounded in memory.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>

namespace cppworker {

class LineSplitter {
 public:
  // A traceback's longest line or TGI's Args line take a few KiB. What goes beyond is no log.
  static constexpr std::size_t kLongestLine = 64 << 10;

  using Sink = std::function<void(std::string_view line)>;

  explicit LineSplitter(std::size_t longest = kLongestLine) : longest_(longest) {}

  // Calls `sink` for each line that these bytes complete, without its end. A line that grows too long is
  // handed over at the limit, and the rest of it is dropped. Nothing is said about an empty line that ends in
  // "\r".
  void feed(std::string_view bytes, const Sink& sink);

  // The stream has ended: what stands there without an end is a line too.
  void finish(const Sink& sink);

  std::uint64_t dropped_bytes() const { return dropped_; }

 private:
  void append(std::string_view part, const Sink& sink);
  void end_line(char end, const Sink& sink);

  std::size_t longest_;
  std::string line_;
  bool overlong_ = false;  // handed over already; skips to the line's end
  bool after_return_ = false;
  std::uint64_t dropped_ = 0;
};

// The line without terminal control: CSI (colours, cursor), OSC (titles, links) and the other ESC sequences.
// Returns `line` itself when it has none, else a view of `storage`.
std::string_view strip_ansi(std::string_view line, std::string& storage);

}  // namespace cppworker
