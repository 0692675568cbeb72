// The session routes (protocol section 5): between what session_rules.hpp reads from a body and what it says
// to the ledger's verdict, the ledger is asked here. And the requests inside a session.
//
// Threads: that of the connection.
#pragma once

#include <string_view>

#include "common/async.hpp"
#include "proxy/connection.hpp"
#include "proxy/error_response.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// Checked like any signed request, the replay window included; it is no load. A refused creation uses nothing
// up: the same may come again.
Refusal create_session(Connection& connection, ProxyThread& thread, Request& request);
Refusal get_session(std::string_view body, ProxyThread& thread);
Refusal session_health(std::string_view body, ProxyThread& thread);
// Comes back when the session is gone: after the inference server was told, where the session asks for that.
Awaitable<Refusal> end_session(std::string_view body, ProxyThread& thread);

// For a request whose signature was found good: when its envelope names a session, it is made one of its open
// requests (request.in_session), the session lives on from now, and the request is no replay. nullopt: go on.
std::optional<Refusal> join_session(Connection& connection, ProxyThread& thread, Request& request);

}  // namespace cppworker
