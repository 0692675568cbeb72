// Reads configuration out of parsed JSON, member by member, with messages that carry file, JSON pointer and
// what was expected; unknown members are errors, with a suggestion.
//
// A ConfigError means "cannot start": it is thrown here and turned into a Result by whoever opened the file.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <set>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>
#include <nlohmann/json.hpp>

namespace cppworker {

// what(): "etc/cppworker.json: /proxy/port: must be an integer from 1 to 65535, is "x"".
class ConfigError : public std::runtime_error {
 public:
  ConfigError(std::string_view file, std::string_view pointer, std::string_view problem);
};

// Parses the text; comments are allowed. Throws ConfigError with line and column, also for a repeated member.
nlohmann::json parse_config(std::string_view text, const std::string& file);

// Reads and parses the file (1 MiB at most: a larger one is no configuration).
nlohmann::json load_config(const std::string& path);

// One value with the place it came from.
class ConfigValue {
 public:
  ConfigValue(const nlohmann::json& value, std::string file, std::string pointer)
      : value_(&value), file_(std::move(file)), pointer_(std::move(pointer)) {}

  const nlohmann::json& json() const { return *value_; }
  const std::string& file() const { return file_; }
  const std::string& pointer() const { return pointer_; }

  bool as_bool() const;
  std::int64_t as_integer(std::int64_t least, std::int64_t most) const;
  double as_number(double least, double most) const;
  std::string as_string() const;  // not empty
  std::string as_choice(const std::vector<std::string>& choices) const;
  std::vector<ConfigValue> as_list() const;
  std::vector<std::string> as_strings() const;

  [[noreturn]] void refuse(std::string_view problem) const;

 private:
  const nlohmann::json* value_;
  std::string file_, pointer_;
};

// A JSON object whose members are asked for by name. Call finish() last: it refuses what nobody asked for.
class ConfigObject {
 public:
  explicit ConfigObject(ConfigValue value);

  ConfigValue required(const std::string& key);
  std::optional<ConfigValue> optional(const std::string& key);

  bool boolean(const std::string& key, bool otherwise);
  std::int64_t integer(const std::string& key, std::int64_t otherwise, std::int64_t least, std::int64_t most);
  double number(const std::string& key, double otherwise, double least, double most);
  std::string string(const std::string& key, const std::string& otherwise);

  const ConfigValue& value() const { return value_; }
  void finish() const;

 private:
  ConfigValue value_;
  std::set<std::string> known_;
};

}  // namespace cppworker
