// A small valid PNG without a compressor: its data is stored, not deflated.
#pragma once

#include <cstdint>
#include <string>

namespace cppworker::stand_ins {

// 8 × 8 pixels of one colour.
std::string make_png(std::uint32_t rgb);

std::string base64(const std::string& bytes);

}  // namespace cppworker::stand_ins
