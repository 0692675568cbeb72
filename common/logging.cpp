#include "common/logging.hpp"

#include <simdjson.h>
#include <unistd.h>

#include <algorithm>

#include "common/log_writer.hpp"

namespace cppworker {
namespace {

// How many bytes the character has that the text begins with; 0 when that is no whole and valid UTF-8.
std::size_t character_size(std::string_view text) {
  auto first = static_cast<unsigned char>(text.front());
  if (first < 0x80) return 1;
  std::size_t size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  return size <= text.size() && simdjson::validate_utf8(text.data(), size) ? size : 0;
}

// Those of ASCII, and U+0080 to U+009F, which some terminals obey as well.
bool is_control(std::string_view character) {
  auto first = static_cast<unsigned char>(character.front());
  if (character.size() == 1) return first < 0x20 || first == 0x7f;
  return first == 0xc2 && static_cast<unsigned char>(character[1]) < 0xa0;
}

}  // namespace

void start_logging(std::string_view program, std::string_view level) {
  auto logger =
      std::make_shared<spdlog::logger>(std::string(program), std::make_shared<LogWriter>(STDERR_FILENO));
  logger->set_pattern("%Y-%m-%dT%H:%M:%S.%eZ %^%l%$ %n: %v", spdlog::pattern_time_type::utc);
  logger->set_level(spdlog::level::from_str(std::string(level)));
  spdlog::set_default_logger(std::move(logger));
}

std::string printable(std::string_view text, std::size_t limit) {
  std::string out;
  std::size_t at = 0;
  while (at < text.size()) {
    std::size_t size = character_size(text.substr(at));
    if (at + std::max<std::size_t>(size, 1) > limit) break;
    std::string_view character = text.substr(at, size);
    if (size == 0 || is_control(character))
      out += '?';
    else
      out += character;
    at += std::max<std::size_t>(size, 1);
  }
  if (at < text.size()) out += "…";
  return out;
}

}  // namespace cppworker
