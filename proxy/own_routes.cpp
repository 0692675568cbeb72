#include "proxy/own_routes.hpp"

#include <array>

#include "proxy/answer.hpp"
#include "proxy/session_routes.hpp"
#include "proxy/session_rules.hpp"
#include "proxy/update_route.hpp"

namespace cppworker {
namespace {

using Kind = OwnRoute::Kind;

constexpr std::array kRoutes = {
    OwnRoute{Kind::kPing, "GET", "/ping"},
    OwnRoute{Kind::kPing, "HEAD", "/ping"},
    OwnRoute{Kind::kSessionCreate, "POST", "/session/create"},
    OwnRoute{Kind::kSessionGet, "POST", "/session/get"},
    OwnRoute{Kind::kSessionHealth, "POST", "/session/health"},
    OwnRoute{Kind::kSessionEnd, "POST", "/session/end"},
    OwnRoute{Kind::kUpdate, "POST", "/pyworker/update"},
};

Awaitable<bool> answer_ping(Connection& connection, ProxyThread& thread, Request& request) {
  std::string response = ping_response(request.keep_alive, connection.is_head_request());
  connection.active().begin_write_phase(thread.core.relay_limits.write);
  bool written = co_await connection.write(response);
  connection.active().end_phase();
  request.answered = {200, response.size(), {}, name_of(Outcome::kServed)};
  if (!written) note_client_gone(request);
  if (!request.keep_alive && written) co_await close_after_answer(connection, request);
  co_return written&& request.keep_alive;
}

}  // namespace

FoundOwnRoute find_own_route(const RequestHead& head, Door door) {
  std::string_view path = path_of(head.target());
  FoundOwnRoute found;
  for (const OwnRoute& route : kRoutes) {
    if (route.path != path) continue;
    if (door == Door::kSessions && route.kind != Kind::kSessionEnd) continue;
    if (route.method == head.method()) return {&route, {}};
    found.allow.append(found.allow.empty() ? "" : ", ").append(route.method);
  }
  return found;
}

Awaitable<bool> serve_own_route(const OwnRoute& route, Connection& connection, ProxyThread& thread,
                                Request& request) {
  if (route.reads_body() && !connection.head().says_length())
    co_return co_await refuse_early(connection, thread, request, length_missing());
  if (auto refusal = co_await connection.read_body(kLargestSessionBody)) {
    if (refusal->status == 0) {
      note_client_gone(request);
      co_return false;
    }
    co_return co_await refuse_early(connection, thread, request, *refusal);
  }
  request.counted = Counted(thread.core.answering);
  Refusal answered;
  switch (route.kind) {
    case Kind::kPing:
      co_return co_await answer_ping(connection, thread, request);
    case Kind::kSessionCreate:
      answered = create_session(connection, thread, request);
      break;
    case Kind::kSessionGet:
      answered = get_session(connection.body(), thread);
      break;
    case Kind::kSessionHealth:
      answered = session_health(connection.body(), thread);
      break;
    case Kind::kSessionEnd:
      answered = co_await end_session(connection.body(), thread);
      break;
    case Kind::kUpdate:
      answered = request_update(connection.head(), thread);
      break;
  }
  // What was wrong with the session is counted by itself; a body that can't be read isn't its business.
  if (answered.status == 422)
    co_return co_await refuse_early(connection, thread, request, std::move(answered));
  co_return co_await answer(connection, thread, request, std::move(answered));
}

}  // namespace cppworker
