// The heads of the two messages that the proxy writes for others: the request to the inference server and the
// response to the client. Pure text building.
//
// Hop-by-hop headers (RFC 9110 section 7.6.1) end here in both directions, named in `Connection` or not. To
// the inference server goes what design.md's "Never forwarded" leaves, always with Content-Length (Python's
// http.server needs it), without headers that have `_` in their names (WSGI and CGI take Content_Length for
// Content-Length; nginx, too, drops them) and with its own Host (newer text-generation-webui answers 400 to
// any other).
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <boost/beast/http/fields.hpp>
#include <boost/beast/http/message.hpp>

#include "proxy/request_head.hpp"

namespace cppworker {

using ResponseHead = boost::beast::http::response_header<boost::beast::http::fields>;

// The path and query to ask the inference server for: as the client sent it, less `api_key`, which is the
// autoscaler's business (protocol section 3).
std::string upstream_target(std::string_view target);

// The path alone, for finding the endpoint.
std::string_view path_of(std::string_view target);

struct UpstreamRequest {
  std::string_view authority;   // "127.0.0.1:5001"
  std::string_view request_id;  // made or the client's own
  std::uint64_t body_bytes = 0;
  bool has_body = true;       // GET and HEAD without a body get no Content-Length
  bool plain_answer = false;  // one without compression is asked for
  bool handshake = false;     // of a WebSocket: without what is between the client and the proxy
  std::optional<std::string_view> target = {};  // instead of the client's
};
std::string upstream_request_head(const RequestHead& client, const UpstreamRequest& request);

// How the body's end is marked towards the client.
enum class Framing {
  kLength,   // Content-Length, as the inference server said
  kChunked,  // HTTP/1.1 client, length unknown
  kClose,    // HTTP/1.0 client, length unknown: the connection's end is the body's
  kNone,     // no body at all: HEAD, 204, 304
};
std::string client_response_head(const ResponseHead& upstream, Framing framing,
                                 std::optional<std::uint64_t> length, bool keep_alive,
                                 std::string_view request_id);

// The client's X-Request-Id where it is fit to be repeated (1 to 128 visible ASCII characters), else a new
// one.
std::string request_id_of(const RequestHead& client);

}  // namespace cppworker
