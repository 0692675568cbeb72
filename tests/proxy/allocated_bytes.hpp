// What this process holds on its heap: for tests of what a connection or a stream costs. In a proxy test the
// process is the proxy's as well as the test's; what the test itself holds has to be there before and after.
// With a sanitizer's allocator it is always 0, and such a test proves nothing.
#pragma once

#include <malloc.h>

#include <cstddef>

namespace cppworker {

inline std::size_t bytes_allocated() {
  struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

}  // namespace cppworker
