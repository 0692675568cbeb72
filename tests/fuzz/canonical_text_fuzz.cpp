// The signed text, rebuilt by canonical_json and once more by other means: strings by a JSON library, doubles
// by printf and the search for the fewest digits, the layout by the library's indentation. An input is four
// lines: cost, endpoint, reqnum and url as a client may write them.
#include <array>
#include <cmath>
#include <nlohmann/json.hpp>

#include "proxy/canonical_json.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

using nlohmann::json;

// "d.ddde±x" with that many digits, and the same with its last digit one higher.
std::array<std::string, 2> spellings(double value, int digits) {
  char text[40];
  std::snprintf(text, sizeof text, "%.*e", digits - 1, value);
  std::string down = text, up = text;
  std::size_t place = up.find('e');
  while (place-- > 0) {
    if (up[place] == '.') continue;
    if (up[place] != '9') {
      ++up[place];
      return {down, up};
    }
    up[place] = '0';
  }
  return {down, down};  // all nines
}

std::string shortest(double value) {
  for (int digits = 1; digits <= 17; ++digits)
    for (const std::string& text : spellings(value, digits))
      if (std::strtod(text.c_str(), nullptr) == value) return text;
  return "";
}

// repr() of Python for a double that isn't negative.
std::string python_double(double value) {
  if (std::isinf(value)) return "Infinity";
  std::string scientific = shortest(value);
  std::size_t e = scientific.find('e');
  int exponent = std::atoi(scientific.c_str() + e + 1);
  std::string digits = scientific.substr(0, 1);
  if (e > 2) digits += scientific.substr(2, e - 2);
  while (digits.size() > 1 && digits.back() == '0') digits.pop_back();
  char text[40];
  if (exponent < -4 || exponent >= 16) {
    std::string mantissa = digits.substr(0, 1) + (digits.size() > 1 ? "." + digits.substr(1) : "");
    std::snprintf(text, sizeof text, "e%c%02d", exponent < 0 ? '-' : '+', std::abs(exponent));
    return mantissa + text;
  }
  // All its digits, of which there are few enough in this range to be exact.
  int decimals = std::max(1, static_cast<int>(digits.size()) - 1 - exponent);
  std::snprintf(text, sizeof text, "%.*f", decimals, value);
  return text;
}

// nullopt: the library doesn't read it (surrogates that come alone).
std::optional<std::string> python_value(std::string_view value) {
  if (value.front() == '"') {
    json text = json::parse(value, nullptr, false);
    if (text.is_discarded()) return std::nullopt;
    return text.dump(-1, ' ', true);
  }
  if (value.find_first_of(".eE") == std::string_view::npos) return std::string(value == "-0" ? "0" : value);
  double number = std::strtod(std::string(value).c_str(), nullptr);
  return (std::signbit(number) ? "-" : "") + python_double(std::fabs(number));
}

// The next line, when it is a string or a number.
std::optional<std::string_view> take_value(std::string_view& input) {
  std::string_view line = input.substr(0, input.find('\n'));
  input.remove_prefix(std::min(input.size(), line.size() + 1));
  std::string_view value = json_trim(line);
  if (validate_json(value) != JsonFault::kNone) return std::nullopt;
  JsonType type = json_type(value);
  if (type != JsonType::kString && type != JsonType::kNumber) return std::nullopt;
  return value;
}

}  // namespace

void check_input(std::string_view input) {
  constexpr const char* kNames[] = {"cost", "endpoint", "reqnum", "url"};
  std::array<std::string_view, 4> values;
  std::array<std::string, 4> spelled;
  for (std::size_t i = 0; i < values.size(); ++i) {
    auto value = take_value(input);
    if (!value) return;
    values[i] = *value;
    auto expected = python_value(*value);
    if (!expected) return;
    spelled[i] = *expected;
    std::string text;
    append_python_value(text, *value);
    require(text == spelled[i], "a value is spelled as Python spells it");
  }
  AuthFields auth;
  auth.cost = values[0];
  auth.endpoint = values[1];
  auth.reqnum = values[2];
  auth.url = values[3];
  std::string full, url;
  append_full_text(full, auth);
  append_url_text(url, auth);
  std::string expected = "{";
  for (std::size_t i = 0; i < values.size(); ++i)
    expected += std::string(i == 0 ? "" : ",") + "\n    \"" + kNames[i] + "\": " + spelled[i];
  require(full == expected + "\n}", "the full text is the one that was signed");
  require(url == "{\n    \"url\": " + spelled[3] + "\n}", "so is the text of the url");
}

}  // namespace cppworker::fuzz
