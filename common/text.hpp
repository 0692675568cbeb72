// Small functions over text that several folders need.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace cppworker {

// Without the blanks, tabs and line ends at both sides.
std::string_view trim(std::string_view text);

// The non-empty parts between separators, trimmed: "a, b" by ',' is {"a", "b"}.
std::vector<std::string> split_list(std::string_view text, char separator);

// The candidate nearest to `word` (edit distance at most 3 and below half its length), for "did you mean".
std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates);

// The whole file; nullopt when it can't be read. At most `limit` bytes are read.
std::optional<std::string> read_file(const std::string& path, std::size_t limit);

// Replaces the file's content in one step (temporary file in the same folder, fsync, rename), so that a
// reader or a crash never sees half of it. False with errno set when that fails.
bool write_file_atomically(const std::string& path, std::string_view content, unsigned mode = 0600);
// The same without waiting for the disk, which beside a model's download takes seconds: a reader never sees
// half of it, but after a power cut the file may be empty or the one before. For what is void by then, or can
// be made anew; and for the supervisor's loop.
bool replace_file(const std::string& path, std::string_view content, unsigned mode = 0600);

// True when both are equal; takes the same time wherever they differ. For secrets.
bool equal_in_constant_time(std::string_view a, std::string_view b);

}  // namespace cppworker
