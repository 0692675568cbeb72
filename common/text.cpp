#include "common/text.hpp"

#include <fcntl.h>
#include <openssl/crypto.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <numeric>

#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

std::size_t edit_distance(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), 0);
  for (std::size_t i = 1; i <= a.size(); ++i) {
    std::size_t diagonal = row[0];
    row[0] = i;
    for (std::size_t j = 1; j <= b.size(); ++j) {
      std::size_t above = row[j];
      row[j] = std::min({above + 1, row[j - 1] + 1, diagonal + (a[i - 1] == b[j - 1] ? 0 : 1)});
      diagonal = above;
    }
  }
  return row[b.size()];
}

bool write_all(int fd, std::string_view content) {
  while (!content.empty()) {
    ssize_t n = ::write(fd, content.data(), content.size());
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) return false;
    content.remove_prefix(static_cast<std::size_t>(n));
  }
  return true;
}

// A shell's <(command) is a pipe, whose writer may need a moment.
bool comes_in_time(int fd) {
  constexpr int kPipeWaitMs = 2000;
  pollfd wanted{fd, POLLIN, 0};
  return ::poll(&wanted, 1, kPipeWaitMs) > 0;
}

bool replace(const std::string& path, std::string_view content, unsigned mode, bool wait_for_disk) {
  std::string temporary = path + ".new";
  UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, mode));
  if (!fd) return false;
  bool written = write_all(fd.get(), content) && (!wait_for_disk || ::fsync(fd.get()) == 0) &&
                 ::rename(temporary.c_str(), path.c_str()) == 0;
  if (!written) {
    int cause = errno;
    ::unlink(temporary.c_str());
    errno = cause;
  }
  return written;
}

}  // namespace

std::string_view trim(std::string_view text) {
  constexpr std::string_view kBlank = " \t\r\n";
  std::size_t first = text.find_first_not_of(kBlank);
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(kBlank) - first + 1);
}

std::vector<std::string> split_list(std::string_view text, char separator) {
  std::vector<std::string> parts;
  while (true) {
    std::size_t end = text.find(separator);
    std::string_view part = trim(text.substr(0, end));
    if (!part.empty()) parts.emplace_back(part);
    if (end == std::string_view::npos) return parts;
    text.remove_prefix(end + 1);
  }
}

std::optional<std::string> nearest(std::string_view word, const std::vector<std::string>& candidates) {
  std::size_t best = std::min<std::size_t>(4, word.size() / 2 + 1);
  std::optional<std::string> found;
  for (const std::string& candidate : candidates) {
    std::size_t distance = edit_distance(word, candidate);
    if (distance < best) {
      best = distance;
      found = candidate;
    }
  }
  return found;
}

std::optional<std::string> read_file(const std::string& path, std::size_t limit) {
  // O_NONBLOCK: opening a named pipe waits for its other end, for ever.
  UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY));
  if (!fd) return std::nullopt;
  std::string content;
  char buffer[16384];
  while (content.size() < limit) {
    ssize_t n = ::read(fd.get(), buffer, std::min(sizeof buffer, limit - content.size()));
    if (n < 0 && errno == EINTR) continue;
    if (n < 0 && errno == EAGAIN && comes_in_time(fd.get())) continue;
    if (n < 0) return std::nullopt;
    if (n == 0) break;
    content.append(buffer, static_cast<std::size_t>(n));
  }
  return content;
}

bool write_file_atomically(const std::string& path, std::string_view content, unsigned mode) {
  return replace(path, content, mode, true);
}

bool replace_file(const std::string& path, std::string_view content, unsigned mode) {
  return replace(path, content, mode, false);
}

bool equal_in_constant_time(std::string_view a, std::string_view b) {
  return a.size() == b.size() && CRYPTO_memcmp(a.data(), b.data(), a.size()) == 0;
}

}  // namespace cppworker
