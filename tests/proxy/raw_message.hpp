// An HTTP message as it came over a raw connection: the test's own reading of it, so that what the proxy
// sends isn't judged by the parser that the proxy uses. Strict where the proxy is to be strict; anything odd
// throws.
#pragma once

#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "tests/proxy/raw_socket.hpp"

namespace cppworker {

struct RawMessage {
  std::string start_line;
  std::vector<std::pair<std::string, std::string>> headers;  // as they came, in their order
  std::string body;                                          // without chunk frames
  std::vector<std::string> chunks;                           // of a chunked body, each alone

  int status() const;          // of a response
  std::string method() const;  // of a request
  std::string target() const;  // of a request
  bool has(std::string_view name) const;
  std::string header(std::string_view name) const;  // the first; empty: none
  std::vector<std::string> all(std::string_view name) const;
};

// The head alone, up to its empty line.
RawMessage read_raw_head(RawSocket& socket);
// One chunk's data; empty for the last one, whose trailer is read too (it must be empty).
std::string read_chunk(RawSocket& socket);

// A request: without Content-Length and chunks it has no body.
RawMessage read_raw_request(RawSocket& socket);
// A response: its body by Content-Length, chunks, or up to the connection's end. `bodiless`: of a HEAD.
RawMessage read_raw_response(RawSocket& socket, bool bodiless = false);

}  // namespace cppworker
