// Work over a large body that would hold up the other connections of its thread: it is done on the thread's
// checker, one after the other.
//
// What waits for the checker needs no bound of its own: each is a body past what BodyBuffer gives for
// nothing, and all of these together are bounded by the memory budget.
#pragma once

#include <functional>

#include "common/async.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

// Around a millisecond of work: what is smaller is done sooner than it could be handed over.
inline constexpr std::size_t kCheckedInPlace = 256 * 1024;

// Comes back on the thread's loop. What `work` throws (memory that ran out, say) is thrown here: it is this
// request's, not the checker's.
Awaitable<> run_on_checker(ProxyThread& thread, std::function<void()> work);

}  // namespace cppworker
