// The query of a request's target (`a=1&b=2`), taken apart in one way wherever the proxy decides by a name in
// it: a name that one place decodes and another doesn't is a way past whatever that other one keeps out.
//
// Pure, any thread.
#pragma once

#include <optional>
#include <string>
#include <string_view>

namespace cppworker {

// nullopt: a percent sign without two hexadecimal digits.
std::optional<std::string> percent_decode(std::string_view text, bool plus_is_blank = false);

// One `name=value`.
struct QueryPart {
  explicit QueryPart(std::string_view text)
      : text(text), name(percent_decode(text.substr(0, text.find('=')))) {}

  // Empty without a '='.
  std::string_view value() const {
    std::size_t equals = text.find('=');
    return equals == std::string_view::npos ? std::string_view{} : text.substr(equals + 1);
  }

  std::string_view text;            // as it came
  std::optional<std::string> name;  // nullopt: not decodable, so none of ours
};

// `query` is what follows the question mark; of nothing there is one empty part.
template <class OnPart>
void for_each_query_part(std::string_view query, OnPart on_part) {
  while (true) {
    std::size_t end = query.find('&');
    on_part(QueryPart(query.substr(0, end)));
    if (end == std::string_view::npos) return;
    query.remove_prefix(end + 1);
  }
}

// The account's key, which newer clients send in the query: the autoscaler's business, never the inference
// server's (protocol section 3).
bool is_api_key(const QueryPart& part);

}  // namespace cppworker
