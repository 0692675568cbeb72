// A WebSocket client's first message: the same whether its bytes come at once or one by one, within the
// limits whatever they are, and the one that a second reader of RFC 6455, written here, finds in them.
#include <simdjson.h>

#include <cstdint>
#include <optional>
#include <string>

#include "proxy/websocket_frames.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

constexpr FirstMessageLimits kLimits{.message_bytes = 512, .control_frames = 4};

// All that a reader said, as text.
std::string told(std::string_view input, std::size_t step, bool& is_message) {
  using Kind = WebSocketEvent::Kind;
  FirstMessageReader reader(kLimits);
  std::string story;
  while (true) {
    std::string_view piece = input.substr(0, step);
    input.remove_prefix(piece.size());
    reader.feed(piece);
    WebSocketEvent event = reader.next();
    for (; event.kind == Kind::kPing; event = reader.next()) {
      require(event.text.size() <= 125, "a ping is short");
      story += "ping " + std::string(event.text) + "\n";
    }
    if (event.kind == Kind::kNeedMore) {
      if (input.empty()) return story + "more";
      continue;
    }
    if (event.kind != Kind::kMessage)
      return story + (event.kind == Kind::kClose ? "close " : "error ") + std::to_string(event.code) +
             std::string(event.text);
    std::string rest(reader.rest());
    bool text = reader.is_text();
    is_message = true;
    std::string message = reader.take_message();
    require(message.size() <= kLimits.message_bytes, "a message is within its limit");
    require(!text || simdjson::validate_utf8(message.data(), message.size()), "text is UTF-8");
    return story + (text ? "text " : "binary ") + message + "\n" + rest.append(input);
  }
}

// The first message, as told() says it; nullopt where there is none, or none that is in order. Limits aside.
std::optional<std::string> by_the_rfc(std::string_view bytes) {
  std::string pings, message;
  unsigned kind = 0;
  auto number = [&](std::size_t at, std::size_t size) {
    std::uint64_t value = 0;
    for (std::size_t i = 0; i < size; ++i) value = value * 256 + static_cast<unsigned char>(bytes[at + i]);
    return value;
  };
  while (bytes.size() >= 2) {
    unsigned first = static_cast<unsigned char>(bytes[0]), second = static_cast<unsigned char>(bytes[1]);
    unsigned opcode = first % 16;
    if ((first & 0x70) != 0 || second < 128) return std::nullopt;  // an extension; a frame without a mask
    std::size_t more = second % 128 == 126 ? 2 : second % 128 == 127 ? 8 : 0;
    if (bytes.size() < 2 + more + 4) return std::nullopt;
    std::uint64_t length = more == 0 ? second % 128 : number(2, more);
    std::string_view mask = bytes.substr(2 + more, 4);
    bytes.remove_prefix(2 + more + 4);
    if (bytes.size() < length) return std::nullopt;
    std::string payload(bytes.substr(0, length));
    bytes.remove_prefix(length);
    for (std::size_t i = 0; i < payload.size(); ++i) payload[i] ^= mask[i % 4];
    if (opcode == 9) pings += "ping " + payload + "\n";
    if (opcode == 9 || opcode == 10) continue;
    if (opcode > 2 || (opcode == 0) != (kind != 0)) return std::nullopt;
    if (opcode != 0) kind = opcode;
    message += payload;
    if (first >= 128) return pings + (kind == 1 ? "text " : "binary ") + message + "\n" + std::string(bytes);
  }
  return std::nullopt;
}

}  // namespace

void check_input(std::string_view input) {
  bool is_message = false;
  std::string whole = told(input, input.size() + 1, is_message);
  require(!is_message || by_the_rfc(input) == whole, "the message is the one that was sent");
  require(told(input, 1, is_message) == whole, "it is the same byte by byte");
  require(told(input, 7, is_message) == whole, "and in pieces");
}

}  // namespace cppworker::fuzz
