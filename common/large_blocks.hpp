// What the allocator does with large blocks that are freed.
#pragma once

namespace cppworker {

// Has blocks of `size` bytes and more given back to the system when they are freed. By itself the allocator
// raises that size to the largest block that was freed, up to 32 MiB: then a few uploads at once, or one
// table of /proc, stay resident for good. Once, when the program starts.
void give_large_blocks_back(int size);

}  // namespace cppworker
