#include "supervisor/limit_mark.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <charconv>
#include <string>

#include "common/text.hpp"

namespace cppworker {
namespace {

// Above any limit that somebody sets in earnest, below "unlimited".
constexpr std::uint64_t kLowest = std::uint64_t{1} << 60;
constexpr std::size_t kHexDigits = 15;
constexpr std::size_t kLargestLimits = 8192;
constexpr std::string_view kLine = "\nMax file locks ";

}  // namespace

std::uint64_t limit_mark_of(std::string_view tree_mark) {
  if (tree_mark.size() < kHexDigits) return 0;
  std::uint64_t bits = 0;
  const char* end = tree_mark.data() + kHexDigits;
  const auto [stop, problem] = std::from_chars(tree_mark.data(), end, bits, 16);
  return problem == std::errc() && stop == end ? kLowest | bits : 0;
}

void set_limit_mark(std::uint64_t number) {
  if (number < kLowest) return;
  const rlimit mark{number, number};
  ::setrlimit(RLIMIT_LOCKS, &mark);  // a failure leaves it unmarked
}

std::uint64_t limit_mark_of_process(pid_t pid) {
  const auto text = read_file("/proc/" + std::to_string(pid) + "/limits", kLargestLimits);
  if (!text) return 0;
  const std::size_t line = text->find(kLine);
  if (line == std::string::npos) return 0;
  const char* digits = text->data() + text->find_first_not_of(' ', line + kLine.size());
  std::uint64_t number = 0;
  std::from_chars(digits, text->data() + text->size(), number);  // "unlimited" leaves it 0
  return number >= kLowest ? number : 0;
}

}  // namespace cppworker
