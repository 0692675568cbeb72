// The file that has the instance updated when it is started next (protocol section 6).
#pragma once

#include <string>

#include "common/result.hpp"

namespace cppworker {

inline constexpr char kUpdateMark[] = "/.force_update";

// Makes the file, empty, unless it is there.
Result<void> make_update_mark(const std::string& path = kUpdateMark);

}  // namespace cppworker
