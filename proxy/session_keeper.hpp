// The end of sessions: what has to happen at it, and the watch over those that expire or were ended by
// another process.
//
// Threads: that of `thread`.
#pragma once

#include <chrono>

#include "common/async.hpp"
#include "metrics/ledger_sessions.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

// How often expired sessions are looked for (protocol section 5).
inline constexpr std::chrono::seconds kSessionSweep{5};
// And how often this process's open requests whether their session is still there: another proxy, which is
// replacing this one or being replaced by it, may have ended it. It says so at once, by way of the
// supervisor; this is for a word that gets lost. One look at the ledger for each session.
inline constexpr std::chrono::seconds kSessionLook{1};
// A session's open requests end before its end is told to the inference server (protocol section 5). Those
// that don't in this time, because their thread hangs, are passed over.
inline constexpr std::chrono::seconds kRequestsEndLimit{5};
// The POST to on_close_route, its wait for a place at the inference server included (protocol section 5).
inline constexpr std::chrono::seconds kOnCloseLimit{10};

// `session` is ours to close, by Ledger::begin_close_session. Ends its open requests, and then tells the
// inference server, and removes it. Nothing of it fails: what the inference server says doesn't matter.
Awaitable<> close_session(ProxyThread& thread, SessionRecord session);

// Closes the sessions that have expired, and those whose closing came to nothing: each by a coroutine of its
// own, so that a server which doesn't answer holds up one of them alone.
void sweep_sessions(ProxyThread& thread, std::int64_t now_unix_ms);
// Ends the requests of this process whose session is no more.
void look_after_session_requests(ProxyCore& core, std::int64_t now_unix_ms);

// Does both, for as long as the loop turns. On one thread of the process.
Awaitable<> keep_sessions(ProxyThread& thread);

}  // namespace cppworker
