// Sends what the proxy answers itself, in the form that the request's connection needs: kept or closed, with
// a body or for HEAD without.
#pragma once

#include "common/async.hpp"
#include "proxy/connection.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// True when the connection may serve another request; else it was closed, after the client got to read this.
Awaitable<bool> answer(Connection& connection, ProxyThread& thread, Request& request, Refusal refusal);

// Closes the connection when the client has read the answer, which is over: a client may take half a minute
// for that, and no drain waits for it.
Awaitable<> close_after_answer(Connection& connection, Request& request);

// The same as answer() for a request that was refused before it was authenticated: it is counted by its
// status.
Awaitable<bool> refuse_early(Connection& connection, ProxyThread& thread, Request& request, Refusal refusal);

}  // namespace cppworker
