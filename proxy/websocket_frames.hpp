// WebSocket frames (RFC 6455 section 5), as far as the proxy takes part in a conversation: it reads the
// client's first message, in which the client says who it is, and writes that message anew for the inference
// server. What follows is relayed as bytes, and frames are no concern of the proxy's any more.
//
// Pure but for the random masks. One reader belongs to one connection; the writers may run on any thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>

namespace cppworker {

enum class WebSocketOpcode : std::uint8_t {
  kContinuation = 0,
  kText = 1,
  kBinary = 2,
  kClose = 8,
  kPing = 9,
  kPong = 10,
};

// RFC 6455 section 7.4.1, and IANA's registry for 1013. 1005 stands for "none given" and is never sent.
inline constexpr std::uint16_t kCloseNormal = 1000;
inline constexpr std::uint16_t kCloseGoingAway = 1001;
inline constexpr std::uint16_t kCloseProtocolError = 1002;
inline constexpr std::uint16_t kCloseUnsupportedData = 1003;
inline constexpr std::uint16_t kCloseNoCode = 1005;
inline constexpr std::uint16_t kCloseInvalidText = 1007;
inline constexpr std::uint16_t kClosePolicy = 1008;
inline constexpr std::uint16_t kCloseTooBig = 1009;
inline constexpr std::uint16_t kCloseInternalError = 1011;
inline constexpr std::uint16_t kCloseTryAgainLater = 1013;

struct FirstMessageLimits {
  std::size_t message_bytes = 0;  // of all frames of the message together
  // Before the message's end. Libraries ping every 20 s or so; a stranger who pings more than this wants
  // something else than to say who he is.
  int control_frames = 32;
};

struct WebSocketEvent {
  enum class Kind {
    kNeedMore,  // nothing to do before the next feed()
    kMessage,   // the first message is there: take_message(), and the reader is done
    kPing,      // to be answered by a pong with the same `text`
    kClose,     // to be answered by a close frame with the same `code`; the reader is done
    kError,     // to be answered by a close frame with `code` and `text`; the reader is done
  };
  Kind kind = Kind::kNeedMore;
  std::uint16_t code = 0;  // kClose: the client's, or kCloseNoCode; kError: ours
  std::string_view text;   // until the next call; kClose: the client's reason; kError: what is wrong
};

// Reads what a client sends up to the end of its first data message. Holds at most that message, one control
// frame, and what was fed since the last kNeedMore.
class FirstMessageReader {
 public:
  explicit FirstMessageReader(const FirstMessageLimits& limits) : limits_(limits) {}
  FirstMessageReader(const FirstMessageReader&) = delete;

  // Takes the next bytes of the connection; then next() until it says kNeedMore or the reader is done. A done
  // reader repeats its last event.
  void feed(std::string_view bytes);
  WebSocketEvent next();

  // After kMessage: whether it is text (then it is UTF-8) or binary, the message, for the caller to keep, and
  // the bytes that came behind it, which are frames as the client sent them.
  bool is_text() const { return message_opcode_ == WebSocketOpcode::kText; }
  std::string take_message() { return std::move(message_); }
  std::string_view rest() const { return std::string_view(pending_).substr(at_); }

 private:
  bool read_header();
  bool check_opcode(unsigned char first, unsigned char second);
  void take_payload();
  std::optional<WebSocketEvent> end_frame();
  std::optional<WebSocketEvent> end_control_frame();
  bool end_message();
  void end_with(WebSocketEvent::Kind kind, std::uint16_t code, std::string_view text);
  bool is_control() const { return (static_cast<unsigned>(opcode_) & 8U) != 0; }

  const FirstMessageLimits limits_;
  std::string pending_;  // fed and not yet read: from at_ on
  std::size_t at_ = 0;
  std::optional<WebSocketEvent> done_;

  // The frame that is being read.
  bool in_payload_ = false;
  bool last_of_message_ = false;
  WebSocketOpcode opcode_ = WebSocketOpcode::kContinuation;
  std::array<unsigned char, 4> mask_{};
  std::uint64_t left_ = 0;  // of its payload
  std::string control_;     // its payload, when it is a control frame
  int control_frames_ = 0;

  std::string message_;
  std::optional<WebSocketOpcode> message_opcode_;  // once its first frame began
};

using WebSocketMask = std::array<unsigned char, 4>;

// From a strong source, as section 10.3 has it.
WebSocketMask random_websocket_mask();

// A whole message or control frame in the server's role: towards the client, not masked.
std::string websocket_frame(WebSocketOpcode opcode, std::string_view payload);

// The same in the client's role: towards the inference server, masked. The payload comes in pieces, as an
// envelope leaves it.
std::string masked_websocket_frame(WebSocketOpcode opcode, std::span<const std::string_view> pieces,
                                   const WebSocketMask& mask = random_websocket_mask());

// To the client. kCloseNoCode makes an empty one; a reason that is too long for a frame (123 bytes) is cut
// between two characters.
std::string websocket_close_frame(std::uint16_t code, std::string_view reason = {});

}  // namespace cppworker
