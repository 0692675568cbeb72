// What the fuzz targets have in common. A target is one file that defines check_input(): it gives the bytes
// to the code that strangers reach, and calls require() for what must hold whatever the bytes are.
//
// The same file is built twice (CMakeLists.txt): with replay.cpp, as a test that runs the corpus and a fixed
// number of mutations of it, the same on every machine; and with libFuzzer, to look for what isn't known yet.
#pragma once

#include <cstdio>
#include <cstdlib>
#include <string_view>

namespace cppworker::fuzz {

// Throws nothing, keeps nothing from one input to the next.
void check_input(std::string_view input);

// (clang 14 has no std::source_location.) Ends the process, which libFuzzer and replay.cpp take for a finding
// and keep the input.
inline void require(bool holds, const char* what, const char* file = __builtin_FILE(),
                    unsigned line = __builtin_LINE()) {
  if (holds) return;
  std::fprintf(stderr, "%s:%u: not so: %s\n", file, line, what);
  std::abort();
}

}  // namespace cppworker::fuzz
