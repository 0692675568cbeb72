#include "launchers/definition_reader.hpp"

#include <re2/re2.h>
#include <unistd.h>

#include <algorithm>

namespace cppworker {

namespace fs = std::filesystem;

void check_name(const ConfigValue& value, const std::string& name) {
  auto usable = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-';
  };
  constexpr std::size_t kLongest = 64;
  if (name.size() > kLongest || !std::all_of(name.begin(), name.end(), usable))
    value.refuse("must be at most 64 small letters, digits, '-' and '_'");
}

std::string read_path(const ConfigValue& value, bool with_query) {
  std::string path = value.as_string();
  bool clean = std::none_of(path.begin(), path.end(), [](unsigned char c) { return c <= ' ' || c >= 0x7f; });
  if (!path.starts_with('/') || !clean) value.refuse("must be a path that begins with '/', without blanks");
  if (path.find('#') != std::string::npos || (!with_query && path.find('?') != std::string::npos))
    value.refuse(with_query ? "must be a path without a fragment" : "must be a path without a query");
  return path;
}

std::string read_regex(const ConfigValue& value, int least_groups) {
  std::string text = value.as_string();
  re2::RE2 regex(text, re2::RE2::Quiet);
  if (!regex.ok()) value.refuse("must be a regular expression of RE2 (" + regex.error() + ")");
  if (regex.NumberOfCapturingGroups() < least_groups) value.refuse("must have a group, for the number");
  return text;
}

std::string read_script(const ConfigValue& value, const fs::path& folder) {
  std::error_code ec;
  fs::path script = fs::canonical(folder / value.as_string(), ec);
  if (ec) value.refuse("must be a file in the backend's folder (" + ec.message() + ")");
  auto [left, unused] = std::mismatch(folder.begin(), folder.end(), script.begin(), script.end());
  if (left != folder.end()) value.refuse("must stay inside the backend's folder");
  if (!fs::is_regular_file(script, ec) || ::access(script.c_str(), X_OK) != 0)
    value.refuse("must be an executable file (chmod +x)");
  return script.string();
}

}  // namespace cppworker
