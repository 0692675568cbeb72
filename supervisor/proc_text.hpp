// Texts by lines, and words in them, as those of /proc are read. Views into what is given; pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <limits>
#include <string_view>
#include <vector>

namespace cppworker {

// Without their ends.
template <class Visit>
void for_each_line(std::string_view text, Visit visit) {
  while (!text.empty()) {
    const std::size_t end = std::min(text.find('\n'), text.size());
    visit(text.substr(0, end));
    text.remove_prefix(std::min(end + 1, text.size()));
  }
}

// What stands between blanks: the first `most`.
inline std::vector<std::string_view> words_of(std::string_view line,
                                              std::size_t most = std::numeric_limits<std::size_t>::max()) {
  std::vector<std::string_view> words;
  while (!line.empty() && words.size() < most) {
    const std::size_t end = std::min(line.find(' '), line.size());
    if (end > 0) words.push_back(line.substr(0, end));
    line.remove_prefix(std::min(end + 1, line.size()));
  }
  return words;
}

}  // namespace cppworker
