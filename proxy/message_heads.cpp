#include "proxy/message_heads.hpp"

#include <algorithm>
#include <random>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/container/static_vector.hpp>

#include "proxy/query.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using boost::beast::iequals;

constexpr std::size_t kLongestRequestId = 128;
constexpr std::string_view kRequestIdName = "X-Request-Id";

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

bool is_hop_by_hop(HeaderName id) {
  switch (id) {
    case HeaderName::kConnection:
    case HeaderName::kKeepAlive:
    case HeaderName::kProxyAuthenticate:
    case HeaderName::kProxyAuthorization:
    case HeaderName::kProxyConnection:
    case HeaderName::kTe:
    case HeaderName::kTrailer:
    case HeaderName::kTransferEncoding:
    case HeaderName::kUpgrade:
      return true;
    default:
      return false;
  }
}

bool is_of_handshake(HeaderName id) {
  switch (id) {
    case HeaderName::kSecWebSocketAccept:
    case HeaderName::kSecWebSocketExtensions:
    case HeaderName::kSecWebSocketKey:
    case HeaderName::kSecWebSocketProtocol:
    case HeaderName::kSecWebSocketVersion:
      return true;
    default:
      return false;
  }
}

// What the message's own Connection header, of however many lines, declares to be of this hop alone. One or
// two names as a rule; each is compared with every header, so that thousands would cost milliseconds.
class HopNames {
 public:
  void add(std::string_view value) {
    for (boost::beast::string_view name : http::token_list{{value.data(), value.size()}}) {
      if (names_.size() == kMostNamed) return;
      names_.push_back(name);
    }
  }
  bool hold(std::string_view name) const {
    return std::any_of(names_.begin(), names_.end(), [&](const auto& named) {
      return iequals(named, {name.data(), name.size()});
    });
  }

 private:
  static constexpr std::size_t kMostNamed = 32;
  boost::container::static_vector<boost::beast::string_view, kMostNamed> names_;
};

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

bool goes_to_the_server(const Header& header, const UpstreamRequest& request) {
  switch (header.id) {
    case HeaderName::kHost:
    case HeaderName::kContentLength:
    case HeaderName::kAuthorization:
    case HeaderName::kExpect:
    case HeaderName::kXRequestId:
      return false;
    case HeaderName::kAcceptEncoding:
      return !request.plain_answer;
    default:
      if (is_hop_by_hop(header.id) || (request.handshake && is_of_handshake(header.id))) return false;
      return header.name.find('_') == std::string_view::npos;
  }
}

bool goes_to_the_client(const Header& header) {
  return !is_hop_by_hop(header.id) && header.id != HeaderName::kContentLength &&
         header.id != HeaderName::kXRequestId;
}

}  // namespace

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

std::string upstream_target(std::string_view target) {
  std::size_t question = target.find('?');
  if (question == std::string_view::npos) return std::string(target);
  std::string out(target.substr(0, question));
  char separator = '?';
  for_each_query_part(target.substr(question + 1), [&](const QueryPart& part) {
    if (part.text.empty() || is_api_key(part)) return;
    out += separator;
    out += part.text;
    separator = '&';
  });
  return out;
}

std::string upstream_request_head(const RequestHead& client, const UpstreamRequest& request) {
  std::string out;
  out.reserve(512);
  out.append(client.method()).append(" ");
  out.append(upstream_target(request.target.value_or(client.target()))).append(" HTTP/1.1\r\n");
  append_header(out, "Host", request.authority);
  HopNames named;
  client.for_each(HeaderName::kConnection, [&](std::string_view value) { named.add(value); });
  client.for_each([&](const Header& header) {
    if (goes_to_the_server(header, request) && !named.hold(header.name))
      append_header(out, header.name, header.value);
  });
  append_header(out, kRequestIdName, request.request_id);
  if (request.has_body) append_header(out, "Content-Length", std::to_string(request.body_bytes));
  out += "\r\n";
  return out;
}

std::string client_response_head(const ResponseHead& upstream, Framing framing,
                                 std::optional<std::uint64_t> length, bool keep_alive,
                                 std::string_view request_id) {
  std::string out;
  out.reserve(512);
  out.append("HTTP/1.1 ").append(std::to_string(upstream.result_int())).append(" ");
  out.append(view(upstream.reason())).append("\r\n");
  HopNames named;
  auto [first, last] = upstream.equal_range(http::field::connection);
  for (auto line = first; line != last; ++line) named.add(view(line->value()));
  for (const auto& field : upstream) {
    std::string_view name = view(field.name_string());
    Header header{header_name(name), name, view(field.value())};
    if (goes_to_the_client(header) && !named.hold(name)) append_header(out, name, header.value);
  }
  append_header(out, kRequestIdName, request_id);
  // RFC 9110 section 8.6: a 204 has none; a 304 and the answer to a HEAD say what the body would have.
  if (length && upstream.result() != http::status::no_content)
    append_header(out, "Content-Length", std::to_string(*length));
  if (framing == Framing::kChunked) append_header(out, "Transfer-Encoding", "chunked");
  append_header(out, "Connection", keep_alive ? "keep-alive" : "close");
  out += "\r\n";
  return out;
}

std::string request_id_of(const RequestHead& client) {
  std::string_view given = client.only(HeaderName::kXRequestId).value_or("");
  bool fit = !given.empty() && given.size() <= kLongestRequestId &&
             std::all_of(given.begin(), given.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; });
  if (fit) return std::string(given);
  // An identifier for logs, not a secret: unique is enough.
  thread_local std::mt19937_64 random{std::random_device{}()};
  constexpr char kDigits[] = "0123456789abcdef";
  std::string made(32, '0');
  for (std::size_t i = 0; i < made.size(); i += 16) {
    std::uint64_t bits = random();
    for (std::size_t j = 0; j < 16; ++j, bits >>= 4) made[i + j] = kDigits[bits & 15];
  }
  return made;
}

}  // namespace cppworker
