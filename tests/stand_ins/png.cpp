// PNG: ISO/IEC 15948; the stream inside is zlib's (RFC 1950) with one stored block (RFC 1951, 3.2.4).

#include "tests/stand_ins/png.hpp"

#include <openssl/evp.h>

namespace cppworker::stand_ins {
namespace {

constexpr int kSide = 8;

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

std::uint32_t adler32(const std::string& bytes) {
  std::uint32_t a = 1, b = 0;
  for (unsigned char byte : bytes) {
    a = (a + byte) % 65521;
    b = (b + a) % 65521;
  }
  return b << 16 | a;
}

std::string chunk(const std::string& type, const std::string& data) {
  return big_endian(static_cast<std::uint32_t>(data.size())) + type + data + big_endian(crc32(type + data));
}

}  // namespace

std::string make_png(std::uint32_t rgb) {
  std::string pixels;
  for (int y = 0; y < kSide; ++y) {
    pixels += '\0';  // the row's filter: none
    for (int x = 0; x < kSide; ++x) pixels += big_endian(rgb & 0xffffff).substr(1);
  }
  const auto size = static_cast<std::uint16_t>(pixels.size());
  const std::uint16_t complement = static_cast<std::uint16_t>(~size);
  std::string stored = "\x01";  // the last block, stored; then both lengths, little-endian
  for (std::uint16_t length : {size, complement}) {
    stored += static_cast<char>(length & 255);
    stored += static_cast<char>(length >> 8);
  }
  const std::string zlib = "\x78\x01" + stored + pixels + big_endian(adler32(pixels));
  const std::string head = big_endian(kSide) + big_endian(kSide) + std::string("\x08\x02\x00\x00\x00", 5);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", head) + chunk("IDAT", zlib) + chunk("IEND", "");
}

std::string base64(const std::string& bytes) {
  std::string text(4 * ((bytes.size() + 2) / 3) + 1, '\0');
  const int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(text.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  text.resize(static_cast<std::size_t>(size));
  return text;
}

}  // namespace cppworker::stand_ins
