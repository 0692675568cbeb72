#include "proxy/message_heads.hpp"

#include <algorithm>
#include <random>
#include <boost/beast/http/rfc7230.hpp>
#include <boost/container/static_vector.hpp>

#include "proxy/query.hpp"
#include "proxy/request_head_check.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;
using boost::beast::iequals;

constexpr std::size_t kLongestRequestId = 128;
constexpr std::string_view kRequestIdName = "X-Request-Id";

std::string_view view(boost::beast::string_view text) {
  return {text.data(), text.size()};
}

bool is_hop_by_hop(http::field name) {
  switch (name) {
    case http::field::connection:
    case http::field::keep_alive:
    case http::field::proxy_authenticate:
    case http::field::proxy_authorization:
    case http::field::proxy_connection:
    case http::field::te:
    case http::field::trailer:
    case http::field::transfer_encoding:
    case http::field::upgrade:
      return true;
    default:
      return false;
  }
}

// What the message's own Connection header, of however many lines, declares to be of this hop alone. One or
// two names as a rule; each is compared with every header, so that thousands would cost milliseconds.
constexpr std::size_t kMostNamed = 32;
using HopNames = boost::container::static_vector<boost::beast::string_view, kMostNamed>;

HopNames named_in_connection(const http::fields& fields) {
  HopNames names;
  auto [first, last] = fields.equal_range(http::field::connection);
  for (auto line = first; line != last; ++line)
    for (boost::beast::string_view name : http::token_list{line->value()}) {
      if (names.size() == kMostNamed) return names;
      names.push_back(name);
    }
  return names;
}

void append_header(std::string& out, std::string_view name, std::string_view value) {
  out.append(name).append(": ").append(value).append("\r\n");
}

template <class Keep>
void append_end_to_end(std::string& out, const http::fields& fields, Keep keep) {
  const HopNames named = named_in_connection(fields);
  for (const auto& field : fields) {
    if (is_hop_by_hop(field.name()) || !keep(field)) continue;
    bool is_named = std::any_of(named.begin(), named.end(),
                                [&](const auto& name) { return iequals(name, field.name_string()); });
    if (is_named) continue;
    append_header(out, view(field.name_string()), view(field.value()));
  }
}

}  // namespace

bool says_length(const RequestHead& client) {
  return client.find(http::field::content_length) != client.end() ||
         client.find(http::field::transfer_encoding) != client.end();
}

std::string_view path_of(std::string_view target) {
  return target.substr(0, target.find('?'));
}

void use_origin_form(RequestHead& head) {
  if (head.target().starts_with('/')) return;
  const std::string path(origin_form(view(head.target())));
  head.target(path);
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
  out.append(view(client.method_string())).append(" ").append(upstream_target(view(client.target())));
  out.append(" HTTP/1.1\r\n");
  append_header(out, "Host", request.authority);
  append_end_to_end(out, client, [&](const auto& field) {
    switch (field.name()) {
      case http::field::host:
      case http::field::content_length:
      case http::field::authorization:
      case http::field::expect:
        return false;
      case http::field::accept_encoding:
        return !request.plain_answer;
      default:
        if (field.name_string().find('_') != boost::beast::string_view::npos) return false;
        return !iequals(field.name_string(), kRequestIdName);
    }
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
  append_end_to_end(out, upstream, [](const auto& field) {
    return field.name() != http::field::content_length && !iequals(field.name_string(), kRequestIdName);
  });
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
  std::string_view given = view(client[kRequestIdName]);
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
