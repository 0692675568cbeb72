#include "tests/proxy/websocket_wire.hpp"

#include "tests/proxy/raw_client.hpp"

namespace cppworker {
namespace {

constexpr std::string_view kMask = "\x12\x9a\x5c\xf1";

std::string begin_frame(unsigned opcode, std::size_t size, bool last, bool masked) {
  std::string out(1, static_cast<char>((last ? 0x80U : 0U) | opcode));
  unsigned mask_bit = masked ? 0x80U : 0U;
  if (size < 126) return out + static_cast<char>(mask_bit | size);
  int bytes = size <= 0xffff ? 2 : 8;
  out += static_cast<char>(mask_bit | (bytes == 2 ? 126U : 127U));
  while (bytes-- > 0) out += static_cast<char>(size >> (8 * bytes) & 0xffU);
  return out;
}

void put_mask(std::string& payload, std::string_view mask) {
  for (std::size_t i = 0; i < payload.size(); ++i) payload[i] = static_cast<char>(payload[i] ^ mask[i % 4]);
}

}  // namespace

unsigned WireFrame::code() const {
  if (payload.size() < 2) return 0;
  return static_cast<unsigned char>(payload[0]) << 8U | static_cast<unsigned char>(payload[1]);
}

std::string client_frame(unsigned opcode, std::string_view payload, bool last) {
  std::string hidden(payload);
  put_mask(hidden, kMask);
  return begin_frame(opcode, payload.size(), last, true).append(kMask).append(hidden);
}

std::string server_frame(unsigned opcode, std::string_view payload, bool last) {
  return begin_frame(opcode, payload.size(), last, false).append(payload);
}

std::string close_payload(unsigned code, std::string_view reason) {
  std::string out;
  out += static_cast<char>(code >> 8U);
  out += static_cast<char>(code & 0xffU);
  return out.append(reason);
}

WireFrame read_frame(RawSocket& socket) {
  std::string begin = socket.read_exactly(2);
  auto first = static_cast<unsigned char>(begin[0]), second = static_cast<unsigned char>(begin[1]);
  WireFrame frame;
  frame.opcode = first & 0x0fU;
  frame.last = (first & 0x80U) != 0;
  frame.masked = (second & 0x80U) != 0;
  std::size_t size = second & 0x7fU;
  if (size >= 126) {
    std::string length = socket.read_exactly(size == 126 ? 2 : 8);
    size = 0;
    for (char byte : length) size = size << 8U | static_cast<unsigned char>(byte);
  }
  std::string mask = frame.masked ? socket.read_exactly(4) : std::string(4, '\0');
  frame.payload = socket.read_exactly(size);
  put_mask(frame.payload, mask);
  return frame;
}

std::string upgrade_request(std::string_view target, std::string_view more) {
  return get_request(target,
                     "Upgrade: websocket\r\nConnection: keep-alive, Upgrade\r\nSec-WebSocket-Version: 13\r\n"
                     "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n" +
                         std::string(more));
}

}  // namespace cppworker
