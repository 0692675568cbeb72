// What the session routes take and answer (protocol section 5): their bodies taken apart and checked, and
// the answer to what the ledger says.
//
// Pure; any thread. Nothing here opens or ends a session: handler_chain.cpp asks the ledger in between. A
// stranger's mistake is answered with 422 and a body that names the member, and repeats nothing of what was
// sent.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <boost/system/result.hpp>

#include "metrics/ledger_sessions.hpp"
#include "proxy/error_response.hpp"

namespace cppworker {

inline constexpr double kDefaultSessionLifetime = 60;  // seconds
// It is pushed on by each request, and so need be no longer than the longest one (whole_timeout_s): what is
// left behind holds a place that long, and there are ten.
inline constexpr double kLongestSessionLifetime = 6 * 3600;
// Of all sessions, what one grant may have open: one part in this, and at least one. A client asks for a
// route for each session, and gets another reqnum each time.
//
// So the reqnum is what tells grants apart: nothing else of auth_data does so for all signatures. A url-only
// one is the same for all clients; cost, endpoint and ignored members are whatever the client writes. It
// doesn't cover the reqnum either, so who makes reqnums up is held by the share of his address alone.
inline constexpr std::size_t kGrantsShare = 4;
// The bodies of the session routes, in bytes: twice the texts that a session keeps, for blanks and escapes.
inline constexpr std::size_t kLargestSessionBody = 64 * 1024;

// What the payload of /session/create asks for.
struct SessionTerms {
  std::int64_t lifetime_ms = 0;
  std::string on_close_route;         // a POST endpoint's path; empty: none
  std::string_view on_close_payload;  // a JSON object, a slice of the body; empty: none
};

// The body of /session/get, /session/health and /session/end.
struct SessionQuery {
  std::string session_id;
  std::optional<SessionDigest> auth;  // of session_auth; nullopt: none that could be any session's
};

using SessionTermsResult = boost::system::result<SessionTerms, Refusal>;
using SessionOwnerResult = boost::system::result<SessionDigest, Refusal>;
using SessionQueryResult = boost::system::result<SessionQuery, Refusal>;
[[noreturn]] void throw_exception_from_error(const Refusal& refusal, const boost::source_location&);

// `payload` is parse_envelope's payload_object; `post_routes` are the paths of the backend's POST endpoints,
// which alone may be called at a session's end. A member that is null counts as not there.
SessionTermsResult parse_session_terms(std::string_view payload, std::span<const std::string> post_routes);

// Whose the new session is: `auth_data` is the wrapper's member as it stands there; empty (a flat body) is
// refused, and so is one that a session can't keep.
SessionOwnerResult digest_creator(std::string_view auth_data);

// The whole body, checked from its first byte.
SessionQueryResult parse_session_query(std::string_view body);

// The `session_id` of a request's envelope, without quotes and escapes.
std::string decode_session_id(std::string_view value);

// ---- answers

// 201, with the time at which it expires unless it is used.
Refusal answer_created(std::string_view id, std::int64_t expiration_unix_ms);
// 401, 429 or 503.
Refusal refuse_creation(SessionCreation creation);

// /session/get: 200, 400, 401 or 503.
Refusal answer_get(const SessionQuery& query, SessionVerdict verdict, const SessionRecord& session);
// /session/health: 200, 401 or 503.
Refusal answer_health(const SessionQuery& query, SessionVerdict verdict, const SessionRecord& session);
// /session/end: 400, 401, 410 or 503; nullopt when the session may be ended: asked before begin_close_session
// and again with what that says.
std::optional<Refusal> refuse_end(const SessionQuery& query, SessionVerdict verdict,
                                  const SessionRecord& session);
Refusal answer_ended(std::string_view id);

// A request in a session: 401, 410 or 503; nullopt when touch_session found it open.
std::optional<Refusal> refuse_use(SessionVerdict verdict);
// 410: also the answer to a request that the session's end cut off.
Refusal invalid_session();

// What is POSTed to on_close_route: on_close_payload with `session_id`, which is ours whatever the client put
// there.
std::string on_close_body(std::string_view on_close_payload, std::string_view id);

}  // namespace cppworker
