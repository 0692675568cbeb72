// Strict base64 (RFC 4648 section 4): standard alphabet, padded, no blanks or line ends, unused bits zero; so
// a signature has exactly one spelling.
#pragma once

#include <cstddef>
#include <optional>
#include <span>
#include <string_view>

namespace cppworker {

// The number of bytes written to `out`; nullopt when the text is no base64 or doesn't fit. Any thread.
std::optional<std::size_t> decode_base64(std::string_view text, std::span<unsigned char> out);

}  // namespace cppworker
