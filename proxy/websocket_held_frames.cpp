#include "proxy/websocket_held_frames.hpp"

#include <algorithm>

#include "proxy/websocket_scanner.hpp"

namespace cppworker {
namespace {

constexpr std::uint64_t kMostInControl = 125;

}  // namespace

std::optional<HeldFrames::Control> HeldFrames::next() {
  while (true) {
    const std::uint64_t skipped = std::min<std::uint64_t>(payload_left_, bytes_.size() - at_);
    at_ += static_cast<std::size_t>(skipped);
    payload_left_ -= skipped;
    if (payload_left_ > 0) return std::nullopt;
    const std::string_view rest = std::string_view(bytes_).substr(at_);
    const auto header = read_frame_header(rest);
    if (!header) return std::nullopt;
    // One that breaks the rules goes to the server like data, which refuses it.
    if (!header->is_control() || header->length > kMostInControl || !header->mask) {
      at_ += header->size;
      payload_left_ = header->length;
      continue;
    }
    const std::size_t whole = header->size + static_cast<std::size_t>(header->length);
    if (rest.size() < whole) return std::nullopt;
    Control control{header->opcode, std::string(rest.substr(header->size, header->length))};
    mask_payload(control.payload, *header->mask);
    bytes_.erase(at_, whole);
    if (control.opcode == WebSocketOpcode::kPing || control.opcode == WebSocketOpcode::kClose) return control;
  }
}

}  // namespace cppworker
