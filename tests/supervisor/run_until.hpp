// What tests of this folder that run a loop begin with.
#pragma once

#include <string>

#include "tests/common/run_until.hpp"

namespace cppworker {

inline const std::string kChildProgram = std::string(CPPWORKER_BIN_DIR) + "/supervisor_child_program";

}  // namespace cppworker
