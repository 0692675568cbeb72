// Hands the worker's state to every thread of the proxy: each takes it in a handler of its own loop, at some
// time. What may be said only when no thread goes by the old state any more ("drained") waits for all of
// them.
//
// Threads: call it on that of threads.front(), whose loop also runs `taken_by_all`.
#pragma once

#include <functional>
#include <memory>
#include <vector>

#include "proxy/proxy_core.hpp"

namespace cppworker {

// `threads` outlive the call's effects; `live.epoch` is each thread's own business.
void hand_over(const LiveState& live, const std::vector<std::unique_ptr<ProxyThread>>& threads,
               std::function<void()> taken_by_all = {});

}  // namespace cppworker
