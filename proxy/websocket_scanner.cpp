#include "proxy/websocket_scanner.hpp"

#include <algorithm>
#include <cstring>

namespace cppworker {
namespace {

// Of a message, for comparing with failure lines: backend.json allows them no more.
constexpr std::size_t kLongestBegin = 64;

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

}  // namespace

std::optional<FrameHeader> read_frame_header(std::string_view bytes) {
  if (bytes.size() < 2) return std::nullopt;
  const auto first = static_cast<unsigned char>(bytes[0]), second = static_cast<unsigned char>(bytes[1]);
  const unsigned short_length = second & 0x7fU;
  const std::size_t more = short_length == 126 ? 2 : short_length == 127 ? 8 : 0;
  FrameHeader header;
  header.opcode = static_cast<WebSocketOpcode>(first & 0x0fU);
  header.last_of_message = (first & 0x80U) != 0;
  const bool masked = (second & 0x80U) != 0;
  header.size = 2 + more + (masked ? std::tuple_size_v<WebSocketMask> : 0);
  if (bytes.size() < header.size) return std::nullopt;
  header.length = more == 0 ? short_length : big_endian(bytes.substr(2, more));
  if (masked) std::memcpy(header.mask.emplace().data(), bytes.data() + 2 + more, header.mask->size());
  return header;
}

void mask_payload(std::string& bytes, const WebSocketMask& mask) {
  for (std::size_t i = 0; i < bytes.size(); ++i)
    bytes[i] = static_cast<char>(static_cast<unsigned char>(bytes[i]) ^ mask[i % mask.size()]);
}

void FrameScanner::see(std::string_view bytes) {
  while (!bytes.empty()) {
    if (in_payload_) {
      const auto taken = static_cast<std::size_t>(std::min<std::uint64_t>(left_, bytes.size()));
      if (frame_begin_.size() < kLongestBegin)
        frame_begin_ += bytes.substr(0, std::min(taken, kLongestBegin - frame_begin_.size()));
      bytes.remove_prefix(taken);
      left_ -= taken;
      if (!frame_.is_control()) data_bytes_ += taken;
    } else {
      header_ += bytes.front();
      bytes.remove_prefix(1);
      if (const auto header = read_frame_header(header_)) begin_frame(*header);
    }
    if (in_payload_ && left_ == 0) end_frame();
  }
}

void FrameScanner::begin_frame(const FrameHeader& header) {
  header_.clear();
  frame_ = header;
  left_ = header.length;
  in_payload_ = true;
}

void FrameScanner::end_frame() {
  in_payload_ = false;
  std::string begin = std::move(frame_begin_);
  frame_begin_.clear();
  if (frame_.mask) mask_payload(begin, *frame_.mask);
  if (frame_.opcode == WebSocketOpcode::kClose)
    close_code_ =
        begin.size() < 2 ? kCloseNoCode : static_cast<std::uint16_t>(big_endian(begin.substr(0, 2)));
  if (frame_.is_control()) return;
  message_begin_ += begin.substr(0, kLongestBegin - std::min(kLongestBegin, message_begin_.size()));
  if (!frame_.last_of_message) return;
  ++messages_;
  failure_found_ = failure_found_ ||
                   std::any_of(failure_lines_.begin(), failure_lines_.end(),
                               [&](const std::string& line) { return message_begin_.starts_with(line); });
  message_begin_.clear();
}

}  // namespace cppworker
