#include "proxy/query_auth.hpp"

#include <simdjson.h>

#include <algorithm>
#include <array>
#include <optional>
#include <nlohmann/json.hpp>

#include "common/json_scan.hpp"
#include "proxy/query.hpp"

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
  for_each_query_part(query,
                      [&](const QueryPart& part) { auth.given |= part.name == kFields[kSignature].name; });

  std::array<std::optional<std::string_view>, kFields.size()> values;
  std::optional<std::size_t> repeated;
  char separator = '?';
  for_each_query_part(query, [&](const QueryPart& part) {
    if (is_api_key(part)) return;
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
