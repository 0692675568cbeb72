// The proxy's composition root.
#pragma once

#include <cstdint>

#include "common/proxy_settings.hpp"

namespace cppworker {

// Serves on the inherited sockets (worker_state.hpp) until SIGTERM, or until the supervisor is gone. Returns
// the exit code. `owner` marks this process's entries in the ledger.
int run_proxy(const ProxySettings& settings, std::uint64_t owner);

}  // namespace cppworker
