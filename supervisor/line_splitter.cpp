#include "supervisor/line_splitter.hpp"

#include <algorithm>
#include <utility>

namespace cppworker {

void LineSplitter::feed(std::string_view bytes, const Sink& sink) {
  while (!bytes.empty()) {
    // "\r\n" may be cut in two by the pipe.
    if (std::exchange(after_return_, false) && bytes.front() == '\n') {
      bytes.remove_prefix(1);
      continue;
    }
    const std::size_t end = bytes.find_first_of("\r\n");
    append(bytes.substr(0, end), sink);
    if (end == std::string_view::npos) return;
    after_return_ = bytes[end] == '\r';
    end_line(bytes[end], sink);
    bytes.remove_prefix(end + 1);
  }
}

void LineSplitter::finish(const Sink& sink) {
  end_line('\r', sink);
  after_return_ = false;
}

void LineSplitter::append(std::string_view part, const Sink& sink) {
  if (overlong_) {
    dropped_ += part.size();
    return;
  }
  const std::size_t room = longest_ - line_.size();
  line_ += part.substr(0, room);
  if (part.size() <= room) return;
  dropped_ += part.size() - room;
  overlong_ = true;
  sink(line_);
  line_.clear();
}

void LineSplitter::end_line(char end, const Sink& sink) {
  if (!std::exchange(overlong_, false) && (!line_.empty() || end == '\n')) sink(line_);
  line_.clear();
}

namespace {

constexpr char kEscape = '\x1b';
constexpr char kBell = '\a';

bool is_between(char c, char first, char last) {
  return c >= first && c <= last;
}

// The length of the control sequence that `text` begins with (ECMA-48); all of it when it breaks off.
std::size_t sequence_length(std::string_view text) {
  std::size_t at = 1;
  if (at == text.size()) return at;
  const char kind = text[at];
  if (kind == '[') {
    for (++at; at < text.size() && is_between(text[at], 0x20, 0x3f);) ++at;
    return std::min(at + 1, text.size());
  }
  // OSC, DCS, SOS, PM and APC carry text up to a terminator.
  if (kind == ']' || kind == 'P' || kind == 'X' || kind == '^' || kind == '_') {
    for (++at; at < text.size(); ++at) {
      if (text[at] == kBell) return at + 1;
      if (text[at] == kEscape) return std::min(at + 2, text.size());
    }
    return text.size();
  }
  while (at < text.size() && is_between(text[at], 0x20, 0x2f)) ++at;
  return std::min(at + 1, text.size());
}

}  // namespace

std::string_view strip_ansi(std::string_view line, std::string& storage) {
  std::size_t escape = line.find(kEscape);
  if (escape == std::string_view::npos) return line;
  storage.clear();
  while (escape != std::string_view::npos) {
    storage += line.substr(0, escape);
    line.remove_prefix(escape);
    line.remove_prefix(sequence_length(line));
    escape = line.find(kEscape);
  }
  storage += line;
  return storage;
}

}  // namespace cppworker
