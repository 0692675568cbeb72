// WebSocket frames as the two ends of a test write and read them: the test's own reading of RFC 6455, so that
// the proxy isn't measured by its own framing.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "tests/proxy/raw_message.hpp"
#include "tests/proxy/raw_socket.hpp"

namespace cppworker {

enum WireOpcode : unsigned { kContinues = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10 };

struct WireFrame {
  unsigned opcode = 0;
  bool last = true;
  bool masked = false;
  std::string payload;  // without its mask

  // Of a close frame; 0: it has none.
  unsigned code() const;
};

// As a client has to send it.
std::string client_frame(unsigned opcode, std::string_view payload, bool last = true);
// As a server has to.
std::string server_frame(unsigned opcode, std::string_view payload, bool last = true);
std::string close_payload(unsigned code, std::string_view reason = {});

WireFrame read_frame(RawSocket& socket);

// The client's handshake with the RFC's sample key, and what answers it. `more` are whole header lines.
std::string upgrade_request(std::string_view target, std::string_view more = {});
inline constexpr std::string_view kSampleAccept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

}  // namespace cppworker
