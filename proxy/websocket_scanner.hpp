// Follows the frames of a WebSocket (RFC 6455 section 5) in bytes that are passed on as they are: where one
// ends, so that one of the proxy's own may stand behind it; whether a close frame came by; how messages
// begin. Judges nothing: malformed frames are the receiver's to refuse.
//
// Pure; one for each direction of a connection.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "proxy/websocket_frames.hpp"

namespace cppworker {

struct FrameHeader {
  WebSocketOpcode opcode = WebSocketOpcode::kContinuation;
  bool last_of_message = false;
  std::optional<WebSocketMask> mask;
  std::uint64_t length = 0;  // of the payload
  std::size_t size = 0;      // of the header itself

  bool is_control() const { return (static_cast<unsigned>(opcode) & 8U) != 0; }
};

inline constexpr std::size_t kLongestFrameHeader = 14;

// nullopt: it isn't all here.
std::optional<FrameHeader> read_frame_header(std::string_view bytes);

// Undoes the mask of a payload's first bytes, or puts it on.
void mask_payload(std::string& bytes, const WebSocketMask& mask);

class FrameScanner {
 public:
  // `failure_lines`: a message that begins with one of these tells of a failure
  // (EndpointDefinition::failure_lines). They outlive the scanner.
  explicit FrameScanner(const std::vector<std::string>& failure_lines) : failure_lines_(failure_lines) {}

  void see(std::string_view bytes);

  // No frame is cut off at the end of what was seen.
  bool between_frames() const { return !in_payload_ && header_.empty(); }
  // Data messages that were there whole, and all bytes of such.
  std::uint64_t messages() const { return messages_; }
  std::uint64_t data_bytes() const { return data_bytes_; }
  bool failure_found() const { return failure_found_; }
  // Of a close frame that was there whole; kCloseNoCode: it had none.
  std::optional<std::uint16_t> close_code() const { return close_code_; }

 private:
  void begin_frame(const FrameHeader& header);
  void end_frame();

  const std::vector<std::string>& failure_lines_;
  std::string header_;  // as far as it is here
  FrameHeader frame_;
  bool in_payload_ = false;
  std::uint64_t left_ = 0;  // of the payload
  std::string frame_begin_, message_begin_;
  std::uint64_t messages_ = 0, data_bytes_ = 0;
  bool failure_found_ = false;
  std::optional<std::uint16_t> close_code_;
};

}  // namespace cppworker
