// Who asks: the body taken apart, its signature checked, its URL compared, its session found. Nothing is
// entered into the books here: a refused request touches no load figure (protocol section 2).
#pragma once

#include <optional>
#include <string_view>

#include "proxy/connection.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// A body as the settings have it read: with its auth fields, unless none are asked for. `max_depth`: of the
// JSON, as whom it is for allows it. Threads: any.
EnvelopeResult take_apart(std::string_view body, const ProxySettings& settings, int max_depth);

// On success request.envelope and request.acceptance (but for its endpoint and work) are filled in. The body
// that was taken apart outlives both.
std::optional<Refusal> check_signed(EnvelopeResult parsed, ProxyThread& thread, Request& request);

// The same for a request that is to be forwarded: where it names a session, it becomes one of its open
// requests, as long as `request` lives (session_routes.hpp). Nothing of a session is touched before the
// signature was found good.
std::optional<Refusal> authenticate(EnvelopeResult parsed, Connection& connection, ProxyThread& thread,
                                    Request& request);

}  // namespace cppworker
