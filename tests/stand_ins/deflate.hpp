// Bytes in the wrappings of RFC 1950 (zlib) and RFC 1952 (gzip), in stored blocks (RFC 1951, 3.2.4): valid
// for every reader, and as long as they were.
#pragma once

#include <cstdint>
#include <string>

namespace cppworker::stand_ins {

std::uint32_t crc32(const std::string& bytes);
std::string big_endian(std::uint32_t value);
std::string zlib(const std::string& bytes);
std::string gzip(const std::string& bytes);

}  // namespace cppworker::stand_ins
