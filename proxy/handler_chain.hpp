// The life of a request, top to bottom: limits, parse, endpoint, authenticate, admit, forward, account.
#pragma once

#include "common/async.hpp"
#include "proxy/connection.hpp"
#include "proxy/own_routes.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

// Serves the connection's next request. True when another may follow.
Awaitable<bool> serve_request(Connection& connection, ProxyThread& thread, Door door);

}  // namespace cppworker
