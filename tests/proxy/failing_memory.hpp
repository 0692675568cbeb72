// Lets the memory run out at a chosen moment, in one thread: every allocation of the test program with
// operator new goes through here.
#pragma once

#include <cstddef>

namespace cppworker {

// The nth allocation of this thread, from now on and of those of at least that many bytes, throws
// std::bad_alloc; those before and after it don't. 0: none. Small ones are left alone: where Asio makes its
// own it can't be thrown through, and the process ends.
void fail_allocation(long nth, std::size_t at_least);
// The one that was chosen has been made, and thrown.
bool allocation_failed();

}  // namespace cppworker
