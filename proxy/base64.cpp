#include "proxy/base64.hpp"

#include <array>
#include <cstdint>

namespace cppworker {
namespace {

constexpr std::string_view kAlphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
constexpr std::uint8_t kNoDigit = 0xff;

constexpr std::array<std::uint8_t, 256> kValues = [] {
  std::array<std::uint8_t, 256> values{};
  values.fill(kNoDigit);
  for (std::size_t i = 0; i < kAlphabet.size(); ++i)
    values[static_cast<unsigned char>(kAlphabet[i])] = static_cast<std::uint8_t>(i);
  return values;
}();

}  // namespace

std::optional<std::size_t> decode_base64(std::string_view text, std::span<unsigned char> out) {
  if (text.size() % 4 != 0) return std::nullopt;
  std::size_t padding = text.ends_with("==") ? 2 : text.ends_with('=') ? 1 : 0;
  std::size_t size = text.size() / 4 * 3 - padding;
  if (size > out.size()) return std::nullopt;

  std::size_t written = 0;
  std::uint32_t bits = 0;
  int held = 0;
  std::uint8_t bad = 0;
  for (char c : text.substr(0, text.size() - padding)) {
    std::uint8_t value = kValues[static_cast<unsigned char>(c)];
    bad |= value;  // digits stay below 64
    bits = bits << 6 | value;
    held += 6;
    if (held < 8) continue;
    held -= 8;
    out[written++] = static_cast<unsigned char>(bits >> held);
  }
  bool bits_left = (bits & ((1U << held) - 1)) != 0;
  if (bad > 63 || bits_left) return std::nullopt;
  return written;
}

}  // namespace cppworker
