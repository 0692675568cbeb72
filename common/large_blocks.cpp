#include "common/large_blocks.hpp"

#include <malloc.h>

namespace cppworker {

void give_large_blocks_back(int size) {
  ::mallopt(M_MMAP_THRESHOLD, size);
  ::mallopt(M_TRIM_THRESHOLD, 2 * size);
}

}  // namespace cppworker
