#include "judging.hpp"

#include <boost/beast/http.hpp>

namespace cppworker::chaos {
namespace {

namespace http = boost::beast::http;
using nlohmann::json;

// Of an answer, in the list of what failed.
constexpr std::size_t kDetail = 300;

// To come again is the only thing to be done about these (protocol section 3).
bool says_when(const http::response<http::string_body>& answer) {
  const bool must = answer.result_int() == 503 || answer.result_int() == 429;
  return !must || answer.count(http::field::retry_after) == 1;
}

bool says_why(const std::string& body) {
  const json why = json::parse(body, nullptr, false);
  return why.is_object() && why.contains("error");
}

Judged judge(const Exchange& seen, const IsRight& is_right) {
  Judged judged;
  Result& result = judged.result;
  result.begun = !seen.bytes.empty();
  result.detail = (seen.timed_out ? "no end came: " : "") + seen.bytes.substr(0, kDetail);
  if (seen.timed_out) return judged;
  result.outcome = seen.left ? Outcome::kLeft : Outcome::kLost;
  if (seen.left || seen.bytes.empty()) return judged;

  http::response_parser<http::string_body> parser;
  parser.eager(true);
  parser.body_limit(boost::none);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(seen.bytes), error);
  if (parser.is_header_done()) result.status = static_cast<int>(parser.get().result_int());
  if (!parser.is_done()) {
    result.outcome = !error || error == http::error::need_more ? Outcome::kCut : Outcome::kUnclear;
    return judged;
  }
  judged.body = parser.get().body();
  if (result.status / 100 == 2)
    result.outcome = is_right(result.status, judged.body) ? Outcome::kServed : Outcome::kUnclear;
  else
    result.outcome = says_why(judged.body) && says_when(parser.get()) ? Outcome::kRefused : Outcome::kUnclear;
  return judged;
}

}  // namespace

std::string post_text(const std::string& target, const std::string& body) {
  return "POST " + target +
         " HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\nContent-Type: application/json\r\n"
         "Content-Length: " +
         std::to_string(body.size()) + "\r\n\r\n" + body;
}

Judged judged_exchange(World& world, const std::string& request, const Manner& manner,
                       const IsRight& is_right) {
  const auto began = Clock::now();
  const Exchange seen = exchange(world.port(), request, manner);
  const auto ended = Clock::now();
  Judged judged = judge(seen, is_right);
  judged.result.began = began;
  judged.result.ended = ended;
  if (!is_failure(judged.result.outcome)) judged.result.detail.clear();
  return judged;
}

}  // namespace cppworker::chaos
