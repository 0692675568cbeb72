// A request's way to the inference server and back, across a restart of the server where that is needed: one
// that was let in and had no byte of an answer yet is held, and sent again when the server is back.
#pragma once

#include "proxy/connection.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// The client's leaving, and the limits of time, are watched meanwhile. `hold`: whether to wait for a server
// that is being restarted.
Awaitable<RelayResult> forward(Connection& connection, ProxyThread& thread, Request& request, bool hold);

// What the client is told where nothing of an answer came; what the books say.
Refusal explain(const RelayResult& result, AbortCause cause);
Outcome outcome_of(const RelayResult& result, AbortCause cause);

}  // namespace cppworker
