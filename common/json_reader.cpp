#include "common/json_reader.hpp"

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstring>

#include "common/logging.hpp"
#include "common/text.hpp"

namespace cppworker {
namespace {

constexpr std::size_t kLargestConfig = 1 << 20;
// Values are quoted in messages up to this length: enough to recognise, too short to flood a terminal.
constexpr std::size_t kQuotedValue = 60;

// "~" and "/" of a member's name, as RFC 6901 spells them.
std::string pointer_token(std::string_view key) {
  std::string out;
  for (char c : key) {
    if (c == '~')
      out += "~0";
    else if (c == '/')
      out += "~1";
    else
      out += c;
  }
  return out;
}

std::string shortest(double value) {
  nlohmann::json number = value;
  if (value == std::floor(value) && std::abs(value) < 1e15) number = static_cast<std::int64_t>(value);
  return number.dump();
}

std::string place(std::string_view text, std::size_t byte) {
  text = text.substr(0, byte == 0 ? 0 : byte - 1);
  auto line = std::count(text.begin(), text.end(), '\n') + 1;
  std::size_t start = text.rfind('\n');
  std::size_t column = start == std::string_view::npos ? text.size() + 1 : text.size() - start;
  return "line " + std::to_string(line) + ", column " + std::to_string(column);
}

}  // namespace

ConfigError::ConfigError(std::string_view file, std::string_view pointer, std::string_view problem)
    : std::runtime_error(std::string(file) + ": " + (pointer.empty() ? "" : std::string(pointer) + ": ") +
                         std::string(problem)) {}

nlohmann::json parse_config(std::string_view text, const std::string& file) {
  // A repeated member would silently lose its first value; in a configuration that is always a mistake.
  std::vector<std::set<std::string>> open;
  auto watch = [&](int, nlohmann::json::parse_event_t event, nlohmann::json& parsed) {
    using Event = nlohmann::json::parse_event_t;
    if (event == Event::object_start) open.emplace_back();
    if (event == Event::object_end) open.pop_back();
    if (event == Event::key && !open.back().insert(parsed.get<std::string>()).second)
      throw ConfigError(file, "",
                        "the member \"" + parsed.get<std::string>() + "\" stands twice in one object");
    return true;
  };
  try {
    return nlohmann::json::parse(text.begin(), text.end(), watch, true, true);
  } catch (const nlohmann::json::parse_error& error) {
    throw ConfigError(file, "", "is not JSON at " + place(text, error.byte));
  } catch (const nlohmann::json::out_of_range&) {
    throw ConfigError(file, "", "holds a number that is too large for a double");
  }
}

nlohmann::json load_config(const std::string& path) {
  errno = 0;
  std::optional<std::string> text = read_file(path, kLargestConfig + 1);
  if (!text) throw ConfigError(path, "", std::string("cannot be read: ") + std::strerror(errno));
  if (text->size() > kLargestConfig) throw ConfigError(path, "", "is larger than 1 MiB");
  return parse_config(*text, path);
}

void ConfigValue::refuse(std::string_view problem) const {
  throw ConfigError(file_, pointer_.empty() ? "/" : pointer_,
                    std::string(problem) + ", is " + printable(value_->dump(), kQuotedValue));
}

bool ConfigValue::as_bool() const {
  if (!value_->is_boolean()) refuse("must be true or false");
  return value_->get<bool>();
}

std::int64_t ConfigValue::as_integer(std::int64_t least, std::int64_t most) const {
  bool fits =
      value_->is_number_integer() &&
      !(value_->is_number_unsigned() &&
        value_->get<std::uint64_t>() > static_cast<std::uint64_t>(std::numeric_limits<std::int64_t>::max()));
  if (!fits || value_->get<std::int64_t>() < least || value_->get<std::int64_t>() > most)
    refuse("must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
  return value_->get<std::int64_t>();
}

double ConfigValue::as_number(double least, double most) const {
  if (!value_->is_number() || !(value_->get<double>() >= least && value_->get<double>() <= most))
    refuse("must be a number from " + shortest(least) + " to " + shortest(most));
  return value_->get<double>();
}

std::string ConfigValue::as_string() const {
  if (!value_->is_string() || value_->get_ref<const std::string&>().empty())
    refuse("must be a string, not empty");
  return value_->get<std::string>();
}

std::string ConfigValue::as_choice(const std::vector<std::string>& choices) const {
  if (value_->is_string() && std::find(choices.begin(), choices.end(), *value_) != choices.end())
    return value_->get<std::string>();
  std::string all;
  for (const std::string& choice : choices) all += (all.empty() ? "\"" : ", \"") + choice + "\"";
  refuse("must be one of " + all);
}

std::vector<ConfigValue> ConfigValue::as_list() const {
  if (!value_->is_array()) refuse("must be a list");
  std::vector<ConfigValue> items;
  for (std::size_t i = 0; i < value_->size(); ++i)
    items.emplace_back((*value_)[i], file_, pointer_ + "/" + std::to_string(i));
  return items;
}

std::vector<std::string> ConfigValue::as_strings() const {
  std::vector<std::string> strings;
  for (const ConfigValue& item : as_list()) strings.push_back(item.as_string());
  return strings;
}

ConfigObject::ConfigObject(ConfigValue value) : value_(std::move(value)) {
  if (!value_.json().is_object()) value_.refuse("must be an object");
}

std::optional<ConfigValue> ConfigObject::optional(const std::string& key) {
  known_.insert(key);
  auto found = value_.json().find(key);
  if (found == value_.json().end()) return std::nullopt;
  return ConfigValue(*found, value_.file(), value_.pointer() + "/" + pointer_token(key));
}

ConfigValue ConfigObject::required(const std::string& key) {
  if (auto found = optional(key)) return *found;
  throw ConfigError(value_.file(), value_.pointer().empty() ? "/" : value_.pointer(),
                    "needs a member \"" + key + "\"");
}

bool ConfigObject::boolean(const std::string& key, bool otherwise) {
  auto found = optional(key);
  return found ? found->as_bool() : otherwise;
}

std::int64_t ConfigObject::integer(const std::string& key, std::int64_t otherwise, std::int64_t least,
                                   std::int64_t most) {
  auto found = optional(key);
  return found ? found->as_integer(least, most) : otherwise;
}

double ConfigObject::number(const std::string& key, double otherwise, double least, double most) {
  auto found = optional(key);
  return found ? found->as_number(least, most) : otherwise;
}

std::string ConfigObject::string(const std::string& key, const std::string& otherwise) {
  auto found = optional(key);
  return found ? found->as_string() : otherwise;
}

void ConfigObject::finish() const {
  for (const auto& [key, ignored] : value_.json().items()) {
    if (known_.contains(key)) continue;
    auto suggestion = nearest(key, {known_.begin(), known_.end()});
    throw ConfigError(
        value_.file(), value_.pointer() + "/" + pointer_token(key),
        "is not a known setting" + (suggestion ? "; did you mean \"" + *suggestion + "\"?" : std::string()));
  }
}

}  // namespace cppworker
