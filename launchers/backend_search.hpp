// Finds a backend's folder by its name.
#pragma once

#include <string>
#include <vector>

#include "common/result.hpp"

namespace cppworker {

// The folder of that name with a backend.json in it, of the first search folder that has one, so that a
// folder of the operator's own before the installed one replaces a backend. The error lists the known names
// and the nearest.
Result<std::string> find_backend(const std::string& name, const std::vector<std::string>& search_folders);

}  // namespace cppworker
