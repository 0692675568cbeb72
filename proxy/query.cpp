#include "proxy/query.hpp"

#include "common/json_bytes.hpp"

namespace cppworker {

std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank) {
  std::string out;
  out.reserve(text.size());
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] == '+' && plus_is_blank) {
      out += ' ';
    } else if (text[i] != '%') {
      out += text[i];
    } else {
      if (text.size() - i < 3) return std::nullopt;
      int high = json_bytes::hex_value(text[i + 1]), low = json_bytes::hex_value(text[i + 2]);
      if (high < 0 || low < 0) return std::nullopt;
      out += static_cast<char>(high << 4 | low);
      i += 2;
    }
  }
  return out;
}

bool is_api_key(const QueryPart& part) {
  return part.name == "api_key";
}

}  // namespace cppworker
