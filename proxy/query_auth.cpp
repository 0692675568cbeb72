#include "proxy/query_auth.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <optional>
#include <nlohmann/json.hpp>

#include "common/json_bytes.hpp"

namespace cppworker {
namespace {

constexpr int kUriTooLong = 414;
constexpr int kUnprocessable = 422;

struct Field {
  std::string_view name;
  bool may_be_number;
  // HTML forms write a blank as '+'. Only an endpoint's name may hold blanks; a '+' in base64, a number or a
  // URL is one that its sender didn't encode.
  bool plus_is_blank = false;
};
constexpr std::array kFields = {
    Field{"signature", false}, Field{"cost", true}, Field{"endpoint", false, true},
    Field{"reqnum", true},     Field{"url", false}, Field{"request_idx", true}};
constexpr std::size_t kSignature = 0;
constexpr std::string_view kApiKey = "api_key";

// nullopt: a percent sign without two hexadecimal digits.
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

// One `name=value` of a query.
struct Part {
  std::string_view text;
  std::optional<std::string> name;  // nullopt: not decodable, so none of ours

  explicit Part(std::string_view text)
      : text(text), name(percent_decode(text.substr(0, text.find('=')), false)) {}
  std::string_view value() const { return text.substr(std::min(text.size(), text.find('=') + 1)); }
};

template <class OnPart>
void for_each_part(std::string_view query, OnPart on_part) {
  while (true) {
    std::size_t end = query.find('&');
    on_part(Part(query.substr(0, end)));
    if (end == std::string_view::npos) return;
    query.remove_prefix(end + 1);
  }
}

EnvelopeError field_error(EnvelopeFault fault, std::string_view name, std::string_view problem) {
  return {fault, kUnprocessable,
          "{\"auth_data\":{\"" + std::string(name) + "\":\"" + std::string(problem) + "\"}}"};
}

// The text as JSON.
std::string json_value(bool may_be_number, const std::string& text) {
  bool is_number = !text.empty() && json_trim(text) == text && validate_json(text) == JsonFault::kNone &&
                   json_type(text) == JsonType::kNumber;
  if (may_be_number && is_number) return text;
  return nlohmann::json(text).dump();
}

}  // namespace

std::string QueryAuth::envelope() const {
  return "{\"auth_data\":" + auth_data + ",\"payload\":{}}";
}

QueryAuthResult take_query_auth(std::string_view target) {
  if (target.size() > kLongestAuthTarget)
    return EnvelopeError{EnvelopeFault::kWrong, kUriTooLong,
                         R"({"error":"proxy: the request's target is too long"})"};
  QueryAuth auth;
  std::size_t question = target.find('?');
  auth.target = target.substr(0, question);
  if (question == std::string_view::npos) return auth;
  std::string_view query = target.substr(question + 1);
  for_each_part(query, [&](const Part& part) { auth.given |= part.name == kFields[kSignature].name; });

  std::array<std::optional<std::string_view>, kFields.size()> values;
  std::optional<std::size_t> repeated;
  char separator = '?';
  for_each_part(query, [&](const Part& part) {
    if (part.name == kApiKey) return;
    auto field = std::find_if(kFields.begin(), kFields.end(),
                              [&](const Field& known) { return part.name == known.name; });
    if (!auth.given || field == kFields.end()) {
      auth.target += separator;
      auth.target += part.text;
      separator = '&';
      return;
    }
    auto position = static_cast<std::size_t>(field - kFields.begin());
    if (values[position]) repeated = position;
    values[position] = part.value();
  });
  if (repeated) return field_error(EnvelopeFault::kRepeated, kFields[*repeated].name, "given twice");

  std::string members;
  for (std::size_t i = 0; i < kFields.size(); ++i) {
    if (!values[i]) continue;
    const Field& field = kFields[i];
    auto text = percent_decode(*values[i], field.plus_is_blank);
    if (!text) return field_error(EnvelopeFault::kWrong, field.name, "malformed percent encoding");
    if (!simdjson::validate_utf8(text->data(), text->size()))
      return field_error(EnvelopeFault::kWrong, field.name, "must be UTF-8");
    members.append(members.empty() ? "\"" : ",\"").append(field.name).append("\":");
    members += json_value(field.may_be_number, *text);
  }
  auth.auth_data = "{" + members + "}";
  return auth;
}

}  // namespace cppworker
