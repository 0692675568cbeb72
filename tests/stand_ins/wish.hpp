// What a request asks a stand-in to do, in its prompt: "error:422 …", "sleep:250 …", "size:4096 …", "hold …".
#pragma once

#include <cstdlib>
#include <string>
#include <string_view>

namespace cppworker::stand_ins {

struct Wish {
  std::string kind;   // "error", "sleep", "size", "hold", "drip"; empty for an ordinary prompt
  std::string value;  // what follows the colon, up to the first blank

  bool is(std::string_view wanted_kind, std::string_view wanted_value = "") const {
    return kind == wanted_kind && (wanted_value.empty() || value == wanted_value);
  }
  int number() const { return value.empty() ? 0 : std::atoi(value.c_str()); }
};

inline Wish read_wish(const std::string& prompt) {
  const std::string word = prompt.substr(0, prompt.find(' '));
  const std::size_t colon = word.find(':');
  const std::string kind = word.substr(0, colon);
  if (kind != "error" && kind != "sleep" && kind != "size" && kind != "hold" && kind != "drip") return {};
  return {kind, colon == std::string::npos ? "" : word.substr(colon + 1)};
}

}  // namespace cppworker::stand_ins
