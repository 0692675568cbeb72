// Auth fields in a WebSocket's query: each that comes out as JSON is the one that stands there, decoded here
// once more by other means; the envelope understands it; and what goes on has no auth field in it.
#include <algorithm>
#include <map>
#include <nlohmann/json.hpp>

#include "proxy/envelope.hpp"
#include "proxy/query_auth.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

// As strtol reads the digits. "" for what is malformed; nothing that is looked for is empty.
std::string decoded(std::string_view text) {
  std::string out;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      out += text[i];
      continue;
    }
    std::string digits(text.substr(i + 1, 2));
    if (digits.size() < 2 || digits.find_first_not_of("0123456789abcdefABCDEF") != std::string::npos)
      return "";
    out += static_cast<char>(std::strtol(digits.c_str(), nullptr, 16));
    i += 2;
  }
  return out;
}

// The parts of the query by their decoded names.
std::multimap<std::string, std::string_view> parts_of(std::string_view target) {
  std::multimap<std::string, std::string_view> parts;
  std::size_t question = target.find('?');
  if (question == std::string_view::npos) return parts;
  std::string_view query = target.substr(question + 1);
  for (std::size_t at = 0; at <= query.size();) {
    std::string_view part = query.substr(at, query.find('&', at) - at);
    std::size_t equals = part.find('=');
    std::string_view value = equals == std::string_view::npos ? std::string_view{} : part.substr(equals + 1);
    parts.emplace(decoded(part.substr(0, equals)), value);
    at += part.size() + 1;
  }
  return parts;
}

void check_members(const nlohmann::json& members, std::string_view target) {
  auto parts = parts_of(target);
  for (const char* name : {"signature", "cost", "endpoint", "reqnum", "url", "request_idx"}) {
    require(parts.count(name) == (members.contains(name) ? 1U : 0U),
            "a field comes out where it goes in, once");
    if (!members.contains(name)) continue;
    std::string_view written = parts.find(name)->second;
    std::string text(written);
    if (name == std::string_view("endpoint")) std::replace(text.begin(), text.end(), '+', ' ');
    const nlohmann::json& value = members[name];
    if (value.is_string())
      require(value == decoded(text), "a string is the one that was written");
    else
      require(value.is_number() && nlohmann::json::parse(decoded(text), nullptr, false) == value,
              "so is a number");
  }
}

}  // namespace

void check_input(std::string_view input) {
  auto auth = take_query_auth(input);
  if (!auth) {
    require(nlohmann::json::accept(auth.error().body), "a refusal's body is JSON");
    return;
  }
  require(auth->target.size() <= input.size(), "nothing is added to the target");
  require(auth->target.substr(0, auth->target.find('?')) == input.substr(0, input.find('?')),
          "the path stays as it is");
  auto again = take_query_auth(auth->target);
  require(again && !again->given && again->target == auth->target, "nothing of it is left in the target");
  auto envelope = parse_envelope(auth->envelope());
  if (!envelope)
    require(
        envelope.error().fault == EnvelopeFault::kMissing || envelope.error().fault == EnvelopeFault::kWrong,
        "the envelope is good JSON, each member there once");
  // Discarded where a number is out of the library's range.
  nlohmann::json members = nlohmann::json::parse(auth->auth_data, nullptr, false);
  if (members.is_discarded()) return;
  require(auth->given == members.contains("signature"), "a signature is one");
  if (auth->given) check_members(members, input);
}

}  // namespace cppworker::fuzz
