// Replaces a file's content in one step, for whoever reads it while this machine runs.
//
// A reader never sees half of it, and neither does one after this program was killed. Unlike
// write_file_atomically (text.hpp) it doesn't wait for the disk, which beside a model's download takes
// seconds: after a power cut the file may be empty or the one before. For what is void by then, or can be
// made anew; and for the supervisor's loop. False with errno set when it can't be done.
#pragma once

#include <string>
#include <string_view>

namespace cppworker {

bool replace_file(const std::string& path, std::string_view content, unsigned mode = 0600);

}  // namespace cppworker
