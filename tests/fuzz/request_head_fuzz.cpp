// A request's head: what is believed is understood alike by Beast, and what the proxy makes of it for the
// inference server is a head that it would believe itself.
#include <algorithm>
#include <vector>
#include <boost/beast/http.hpp>

#include "proxy/message_heads.hpp"
#include "proxy/request_head_check.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

namespace http = boost::beast::http;

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

// Lines of one name together, where the first stood: Beast's order.
std::vector<Header> grouped(const RequestHead& head) {
  std::vector<Header> headers;
  head.for_each([&](const Header& header) {
    auto same = std::find_if(headers.rbegin(), headers.rend(), [&](const Header& other) {
      return boost::beast::iequals({other.name.data(), other.name.size()},
                                   {header.name.data(), header.name.size()});
    });
    headers.insert(same == headers.rend() ? headers.end() : same.base(), header);
  });
  return headers;
}

void check_forwarded(const RequestHead& head, std::uint64_t body_bytes, bool has_body) {
  UpstreamRequest request;
  request.authority = "127.0.0.1:5001";
  std::string id = request_id_of(head);
  request.request_id = id;
  request.body_bytes = body_bytes;
  request.has_body = has_body;
  std::string forwarded = upstream_request_head(head, request);
  RequestHeadResult again = read_request_head(forwarded);
  bool by_own_headers = !again && again.error().status == 431;  // which may be more than a client's
  require(again || by_own_headers, "what is forwarded is a good head");
  auto lines = std::count(forwarded.begin(), forwarded.end(), '\n');
  require(static_cast<std::size_t>(lines) - 2 <= kMostHeadersUpstream,
          "it has no more headers than servers read");
  http::request_parser<http::empty_body> parser;
  boost::system::error_code error;
  parser.put(boost::asio::buffer(forwarded), error);
  require(parser.is_header_done(), "Beast reads what is forwarded");
  require(!parser.chunked() && parser.content_length().value_or(0) == (has_body ? body_bytes : 0),
          "its length is the one that was asked for");
  const auto& read = parser.get();
  require(read[http::field::host] == "127.0.0.1:5001", "its Host is the inference server");
  require(read.find(http::field::authorization) == read.end() &&
              read.find(http::field::expect) == read.end() && read.find(http::field::upgrade) == read.end() &&
              read.find(http::field::connection) == read.end(),
          "nothing of the client's hop is forwarded");
  require(upstream_target(view(read.target())) == view(read.target()), "api_key is out of it");
}

}  // namespace

void check_input(std::string_view input) {
  std::size_t end = input.find("\r\n\r\n");
  if (end == std::string_view::npos) {
    auto problem = check_unfinished_head(input);
    require(!problem || problem->status >= 400, "a refusal has a status");
    return;
  }
  std::string_view head = input.substr(0, end + 4);
  RequestHeadResult read = read_request_head(head);
  if (!read) {
    require(read.error().status >= 400 && read.error().status < 600, "a refusal has a status");
    return;
  }
  for (std::size_t size = 0; size < head.size(); size += 1 + head.size() / 64)
    require(!check_unfinished_head(head.substr(0, size)), "a good head is good while it arrives");

  http::request_parser<http::buffer_body> parser;
  parser.header_limit(1 << 20);
  parser.body_limit(boost::none);
  boost::system::error_code error;
  parser.put(boost::asio::buffer(head.data(), head.size()), error);
  // Beast refuses some heads that are good: lines beyond its own limits. Then the client is told 400.
  if (error) return;
  require(parser.is_header_done(), "Beast sees the same end");
  const auto& beast = parser.get();
  require(read->target().starts_with('/') && view(beast.target()).ends_with(read->target()) &&
              view(beast.method_string()) == read->method() &&
              beast.version() == (read->is_http_1_0() ? 10U : 11U),
          "Beast sees the same request line");
  require(
      parser.chunked() == read->is_chunked() &&
          (read->is_chunked() || parser.content_length().value_or(0) == read->content_length().value_or(0)),
      "Beast sees the same end of the body");
  const std::vector<Header> headers = grouped(*read);
  require(std::equal(beast.begin(), beast.end(), headers.begin(), headers.end(),
                     [](const auto& field, const Header& header) {
                       return view(field.name_string()) == header.name && view(field.value()) == header.value;
                     }),
          "Beast sees the same headers");
  check_forwarded(*read, 17, true);
  check_forwarded(*read, 0, false);
}

}  // namespace cppworker::fuzz
