#include "proxy/websocket_frames.hpp"

#include <openssl/rand.h>
#include <simdjson.h>

#include <algorithm>
#include <cstring>
#include <stdexcept>

namespace cppworker {
namespace {

// RFC 6455 section 5.2: the two bytes that every frame begins with.
constexpr unsigned kFinal = 0x80, kReservedBits = 0x70, kOpcodeBits = 0x0f;
constexpr unsigned kMasked = 0x80, kLengthBits = 0x7f;
constexpr unsigned kLength16 = 126, kLength64 = 127;  // instead of a length: it follows in 2 or 8 bytes
constexpr std::size_t kMostInControl = 125;
constexpr std::size_t kCodeBytes = 2;

// Exclusive or with the mask over and over, from its byte `offset % 4` on.
void apply_mask(char* data, std::size_t size, const WebSocketMask& mask, std::uint64_t offset) {
  std::array<unsigned char, 8> turned;
  for (std::size_t i = 0; i < turned.size(); ++i) turned[i] = mask[(offset + i) % mask.size()];
  std::uint64_t word_mask;
  std::memcpy(&word_mask, turned.data(), sizeof word_mask);
  std::size_t i = 0;
  for (; i + sizeof word_mask <= size; i += sizeof word_mask) {
    std::uint64_t word;
    std::memcpy(&word, data + i, sizeof word);
    word ^= word_mask;
    std::memcpy(data + i, &word, sizeof word);
  }
  for (; i < size; ++i) data[i] = static_cast<char>(static_cast<unsigned char>(data[i]) ^ turned[i % 8]);
}

std::uint64_t big_endian(std::string_view bytes) {
  std::uint64_t value = 0;
  for (char byte : bytes) value = value << 8 | static_cast<unsigned char>(byte);
  return value;
}

void append_big_endian(std::string& out, std::uint64_t value, int bytes) {
  while (bytes-- > 0) out += static_cast<char>(value >> (8 * bytes) & 0xff);
}

std::string frame_header(WebSocketOpcode opcode, std::size_t size, unsigned masked) {
  std::string out;
  out.reserve(14 + size);
  out += static_cast<char>(kFinal | static_cast<unsigned>(opcode));
  if (size < kLength16) {
    out += static_cast<char>(masked | static_cast<unsigned>(size));
  } else if (size <= 0xffff) {
    out += static_cast<char>(masked | kLength16);
    append_big_endian(out, size, 2);
  } else {
    out += static_cast<char>(masked | kLength64);
    append_big_endian(out, size, 8);
  }
  return out;
}

// Those that may stand in a frame (section 7.4 and IANA's registry).
bool is_close_code(std::uint64_t code) {
  if (code >= 1000 && code <= 1014) return code != 1004 && code != 1005 && code != 1006;
  return code >= 3000 && code <= 4999;
}

bool is_utf8(std::string_view text) {
  return simdjson::validate_utf8(text.data(), text.size());
}

}  // namespace

void FirstMessageReader::feed(std::string_view bytes) {
  pending_.erase(0, at_);
  at_ = 0;
  pending_ += bytes;
}

WebSocketEvent FirstMessageReader::next() {
  while (!done_) {
    if (!in_payload_ && !read_header()) break;
    take_payload();
    if (left_ > 0) break;
    in_payload_ = false;
    if (auto event = end_frame()) return *event;
  }
  return done_.value_or(WebSocketEvent{});
}

// False: it isn't all here, or it is wrong and the reader done.
bool FirstMessageReader::read_header() {
  std::string_view bytes = rest();
  if (bytes.size() < 2) return false;
  auto first = static_cast<unsigned char>(bytes[0]);
  auto second = static_cast<unsigned char>(bytes[1]);
  if (!check_opcode(first, second)) return false;

  unsigned short_length = second & kLengthBits;
  std::size_t more = short_length == kLength16 ? 2 : short_length == kLength64 ? 8 : 0;
  std::size_t size = 2 + more + mask_.size();
  if (bytes.size() < 2 + more) return false;
  std::uint64_t length = more == 0 ? short_length : big_endian(bytes.substr(2, more));
  auto wrong = [this](std::uint16_t code, std::string_view text) {
    end_with(WebSocketEvent::Kind::kError, code, text);
    return false;
  };
  if (length >> 63 != 0) return wrong(kCloseProtocolError, "a frame's length is negative");
  if ((more == 2 && length < kLength16) || (more == 8 && length <= 0xffff))
    return wrong(kCloseProtocolError, "a frame's length is spelled too long");
  if (!is_control() && length > limits_.message_bytes - message_.size())
    return wrong(kCloseTooBig, "the message is too large");
  if (bytes.size() < size) return false;

  std::memcpy(mask_.data(), bytes.data() + 2 + more, mask_.size());
  at_ += size;
  left_ = length;
  in_payload_ = true;
  last_of_message_ = (first & kFinal) != 0;
  if (is_control()) {
    control_.clear();
  } else if (!message_opcode_) {
    message_opcode_ = opcode_;
  }
  return true;
}

// False: the reader is done, with an error.
bool FirstMessageReader::check_opcode(unsigned char first, unsigned char second) {
  auto wrong = [this](std::string_view text) {
    end_with(WebSocketEvent::Kind::kError, kCloseProtocolError, text);
    return false;
  };
  // No extension was agreed upon that would give them a meaning.
  if ((first & kReservedBits) != 0) return wrong("a frame has reserved bits set");
  opcode_ = static_cast<WebSocketOpcode>(first & kOpcodeBits);
  switch (opcode_) {
    case WebSocketOpcode::kContinuation:
      if (!message_opcode_) return wrong("a message begins with a continuation");
      break;
    case WebSocketOpcode::kText:
    case WebSocketOpcode::kBinary:
      if (message_opcode_) return wrong("a message begins inside another one");
      break;
    case WebSocketOpcode::kClose:
    case WebSocketOpcode::kPing:
    case WebSocketOpcode::kPong:
      if ((first & kFinal) == 0) return wrong("a control frame is fragmented");
      if ((second & kLengthBits) > kMostInControl) return wrong("a control frame is too long");
      break;
    default:
      return wrong("a frame's opcode is unknown");
  }
  if ((second & kMasked) == 0) return wrong("a client's frame isn't masked");
  return true;
}

void FirstMessageReader::take_payload() {
  std::string_view bytes = rest().substr(0, left_);
  std::string& into = is_control() ? control_ : message_;
  std::size_t begin = into.size();
  into += bytes;
  apply_mask(into.data() + begin, bytes.size(), mask_, 0);
  // The mask goes on where it stopped when the rest of the frame comes.
  std::rotate(mask_.begin(), mask_.begin() + static_cast<std::ptrdiff_t>(bytes.size() % mask_.size()),
              mask_.end());
  at_ += bytes.size();
  left_ -= bytes.size();
}

std::optional<WebSocketEvent> FirstMessageReader::end_frame() {
  if (is_control()) return end_control_frame();
  if (!last_of_message_) return std::nullopt;
  // Only whole: a character may lie across two frames.
  if (is_text() && !is_utf8(message_))
    end_with(WebSocketEvent::Kind::kError, kCloseInvalidText, "the text isn't UTF-8");
  else
    end_with(WebSocketEvent::Kind::kMessage, 0, {});
  return done_;
}

std::optional<WebSocketEvent> FirstMessageReader::end_control_frame() {
  if (opcode_ == WebSocketOpcode::kClose) {
    std::string_view payload = control_;
    std::string_view code_bytes = payload.substr(0, kCodeBytes);
    std::uint64_t code = payload.empty() ? kCloseNoCode : big_endian(code_bytes);
    if (!payload.empty() && !is_close_code(code))  // half a code is none either
      end_with(WebSocketEvent::Kind::kError, kCloseProtocolError, "a close frame's code is invalid");
    else if (!is_utf8(payload.substr(code_bytes.size())))
      end_with(WebSocketEvent::Kind::kError, kCloseInvalidText, "a close frame's reason isn't UTF-8");
    else
      end_with(WebSocketEvent::Kind::kClose, static_cast<std::uint16_t>(code),
               payload.substr(code_bytes.size()));
    return done_;
  }
  if (++control_frames_ > limits_.control_frames) {
    end_with(WebSocketEvent::Kind::kError, kClosePolicy, "too many control frames before a message");
    return done_;
  }
  if (opcode_ == WebSocketOpcode::kPong) return std::nullopt;
  return WebSocketEvent{WebSocketEvent::Kind::kPing, 0, control_};
}

void FirstMessageReader::end_with(WebSocketEvent::Kind kind, std::uint16_t code, std::string_view text) {
  done_ = WebSocketEvent{kind, code, text};
}

WebSocketMask random_websocket_mask() {
  WebSocketMask mask;
  if (RAND_bytes(mask.data(), static_cast<int>(mask.size())) != 1)
    throw std::runtime_error("cannot make a mask: the random generator failed");
  return mask;
}

std::string websocket_frame(WebSocketOpcode opcode, std::string_view payload) {
  return frame_header(opcode, payload.size(), 0).append(payload);
}

std::string masked_websocket_frame(WebSocketOpcode opcode, std::span<const std::string_view> pieces,
                                   const WebSocketMask& mask) {
  std::size_t size = 0;
  for (std::string_view piece : pieces) size += piece.size();
  std::string out = frame_header(opcode, size, kMasked);
  for (unsigned char byte : mask) out += static_cast<char>(byte);
  std::size_t begin = out.size();
  for (std::string_view piece : pieces) out += piece;
  apply_mask(out.data() + begin, size, mask, 0);
  return out;
}

std::string websocket_close_frame(std::uint16_t code, std::string_view reason) {
  if (code == kCloseNoCode) return websocket_frame(WebSocketOpcode::kClose, {});
  std::size_t size = std::min(reason.size(), kMostInControl - kCodeBytes);
  auto inside_character = [&] { return (static_cast<unsigned char>(reason[size]) & 0xc0) == 0x80; };
  while (size > 0 && size < reason.size() && inside_character()) --size;
  std::string payload;
  append_big_endian(payload, code, kCodeBytes);
  payload += reason.substr(0, size);
  return websocket_frame(WebSocketOpcode::kClose, payload);
}

}  // namespace cppworker
