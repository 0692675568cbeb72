#include "tests/stand_ins/deflate.hpp"

#include <algorithm>

namespace cppworker::stand_ins {
namespace {

constexpr std::size_t kLongestBlock = 0xffff;

std::string little_endian(std::uint32_t value, int bytes) {
  std::string text;
  for (int i = 0; i < bytes; ++i) text += static_cast<char>(value >> 8 * i);
  return text;
}

std::uint32_t adler32(const std::string& bytes) {
  std::uint32_t a = 1, b = 0;
  for (unsigned char byte : bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

std::string stored(const std::string& bytes) {
  std::string blocks;
  std::size_t at = 0;
  do {
    const std::size_t size = std::min(bytes.size() - at, kLongestBlock);
    blocks += at + size == bytes.size() ? '\x01' : '\x00';  // the last one says so
    blocks += little_endian(static_cast<std::uint32_t>(size), 2);
    blocks += little_endian(static_cast<std::uint32_t>(~size), 2);
    blocks.append(bytes, at, size);
    at += size;
  } while (at < bytes.size());
  return blocks;
}

}  // namespace

std::string big_endian(std::uint32_t value) {
  std::string bytes;
  for (int shift = 24; shift >= 0; shift -= 8) bytes += static_cast<char>(value >> shift);
  return bytes;
}

std::uint32_t crc32(const std::string& bytes) {
  std::uint32_t crc = 0xffffffff;
  for (unsigned char byte : bytes) {
    crc ^= byte;
    for (int bit = 0; bit < 8; ++bit) crc = crc & 1 ? crc >> 1 ^ 0xedb88320 : crc >> 1;
  }
  return ~crc;
}

std::string zlib(const std::string& bytes) {
  return "\x78\x01" + stored(bytes) + big_endian(adler32(bytes));
}

std::string gzip(const std::string& bytes) {
  const std::string head("\x1f\x8b\x08\0\0\0\0\0\0\xff", 10);  // no name, no time, no known system
  return head + stored(bytes) + little_endian(crc32(bytes), 4) +
         little_endian(static_cast<std::uint32_t>(bytes.size()), 4);
}

}  // namespace cppworker::stand_ins
