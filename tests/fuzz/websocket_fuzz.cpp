// A WebSocket client's first message: the same whether its bytes come at once or one by one, and within the
// limits whatever they are.
#include <simdjson.h>

#include <string>

#include "proxy/websocket_frames.hpp"
#include "tests/fuzz/fuzz.hpp"

namespace cppworker::fuzz {
namespace {

constexpr FirstMessageLimits kLimits{.message_bytes = 512, .control_frames = 4};

// All that a reader said, as text.
std::string told(std::string_view input, std::size_t step) {
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
    std::string message = reader.take_message();
    require(message.size() <= kLimits.message_bytes, "a message is within its limit");
    require(!text || simdjson::validate_utf8(message.data(), message.size()), "text is UTF-8");
    return story + (text ? "text " : "binary ") + message + "\n" + rest.append(input);
  }
}

}  // namespace

void check_input(std::string_view input) {
  std::string whole = told(input, input.size() + 1);
  require(told(input, 1) == whole, "it is the same byte by byte");
  require(told(input, 7) == whole, "and in pieces");
}

}  // namespace cppworker::fuzz
