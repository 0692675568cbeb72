// A client of the proxy that sends whatever bytes the test likes.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/proxy/raw_message.hpp"

namespace cppworker {

class RawClient : public RawSocket {
 public:
  // `address`: another one of this machine's, as 127.0.0.2, where it is to be another client.
  explicit RawClient(std::uint16_t port, const char* address = "127.0.0.1");

  RawMessage read_response() { return read_raw_response(*this); }
  // The answer to a HEAD: a head alone.
  RawMessage read_head_response() { return read_raw_response(*this, true); }
  RawMessage exchange(std::string_view request) {
    send(request);
    return read_response();
  }
};

// Well-formed requests, to be sent as they are or bent. `more` are whole header lines with their ends.
std::string get_request(std::string_view target, std::string_view more = {});
std::string post_request(std::string_view target, std::string_view body, std::string_view more = {});
// "5\r\nhello\r\n"
std::string chunk(std::string_view data);
inline constexpr std::string_view kLastChunk = "0\r\n\r\n";

}  // namespace cppworker
