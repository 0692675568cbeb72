// PNG: ISO/IEC 15948.

#include "tests/stand_ins/png.hpp"

#include <openssl/evp.h>

#include "tests/stand_ins/deflate.hpp"

namespace cppworker::stand_ins {
namespace {

constexpr int kSide = 8;

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
  const std::string head = big_endian(kSide) + big_endian(kSide) + std::string("\x08\x02\x00\x00\x00", 5);
  return "\x89PNG\r\n\x1a\n" + chunk("IHDR", head) + chunk("IDAT", zlib(pixels)) + chunk("IEND", "");
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
