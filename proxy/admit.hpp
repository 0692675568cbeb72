// An authenticated request's way in: what it costs, the worker's phase, a place at the inference server, the
// books, and its turn.
#pragma once

#include <cstdint>
#include <optional>

#include "common/async.hpp"
#include "proxy/active_request.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// Lets the request in, with its place and its entry, or says why not; then it counts as rejected load, unless
// it is a replay or has been counted before (rejection_memory.hpp). One that is let in may still have to wait
// for a server that is being restarted (newcomer.hpp); forward() does. `bytes`: what it holds in memory.
// `queued`: await_turn() comes next.
std::optional<Refusal> admit(asio::any_io_executor executor, ProxyThread& thread, Request& request,
                             std::uint64_t bytes, bool& queued);

// The same for a request of an endpoint that asks for no signature, which is no load, and whose place is
// there or not: nobody waits for it.
std::optional<Refusal> admit_unsigned(asio::any_io_executor executor, ProxyThread& thread, Request& request);

// False: it was aborted, or too late (ActiveRequest::cause); its place is given back.
Awaitable<bool> await_turn(ActiveRequest& active, ProxyThread& thread, Request& request);
// What a client is told that is still there.
Refusal explain_no_turn(const Request& request, AbortCause cause);

// Why nothing can be forwarded at the moment; nullopt when it can.
std::optional<Refusal> check_phase(const ProxyThread& thread);

}  // namespace cppworker
