// Pieces of a backend's definition that are read in more than one place. Each refuses what it can't use, with
// the value's file and pointer.
#pragma once

#include <filesystem>
#include <string>

#include "common/json_reader.hpp"

namespace cppworker {

// Runs `read` on the member if it is there.
template <class Read>
void if_there(ConfigObject& object, const std::string& key, Read read) {
  if (auto found = object.optional(key)) read(*found);
}

// Small letters, digits, '-' and '_': names end in paths and labels.
void check_name(const ConfigValue& value, const std::string& name);

// A path on a server, as it is sent.
std::string read_path(const ConfigValue& value, bool with_query);

// Compiles as RE2, with so many groups at least.
std::string read_regex(const ConfigValue& value, int least_groups = 0);

// The absolute path of an executable file inside the backend's folder.
std::string read_script(const ConfigValue& value, const std::filesystem::path& folder);

}  // namespace cppworker
