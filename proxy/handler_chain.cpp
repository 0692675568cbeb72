#include "proxy/handler_chain.hpp"

#include "proxy/access_log.hpp"
#include "proxy/admit.hpp"
#include "proxy/answer.hpp"
#include "proxy/authentication.hpp"
#include "proxy/body_check.hpp"
#include "proxy/forwarding.hpp"
#include "proxy/pricing.hpp"
#include "proxy/request.hpp"
#include "proxy/session_rules.hpp"
#include "proxy/websocket_session.hpp"

namespace cppworker {
namespace {

// ---- endpoint

// `own_allow`: the methods of the worker's own route at this path, none of which is the request's.
std::optional<Refusal> find_endpoint(const RequestHead& head, Door door, const std::string& own_allow,
                                     ProxyThread& thread, Request& request) {
  EndpointTable::Found found;
  if (door == Door::kPublic) found = thread.core.endpoints.find(head.method(), path_of(head.target()));
  if (!own_allow.empty()) found.allow = own_allow;
  request.endpoint = found.endpoint;
  if (found.endpoint != nullptr) return std::nullopt;
  if (found.allow.empty()) return refuse(404, "proxy: no such endpoint");
  Refusal refusal = refuse(405, "proxy: no such method for this endpoint");
  refusal.allow = found.allow;
  return refusal;
}

// What isn't there can't be signed.
bool lacks_length(const RequestHead& head, const Request& request) {
  bool has_body = !head.is_get() && !head.is_head();
  return has_body && request.endpoint->definition.auth == EndpointDefinition::Auth::kSignature &&
         !head.says_length();
}

// ---- answer

// After a relay: the connection goes on, is closed, or the failure is explained.
Awaitable<bool> conclude(Connection& connection, ProxyThread& thread, Request& request, RelayResult result) {
  AbortCause cause = connection.active().cause();
  if (result.end == RelayEnd::kComplete) {
    if (!result.keep_alive) co_await close_after_answer(connection, request);
    co_return result.keep_alive;
  }
  if (result.end == RelayEnd::kAborted && cause == AbortCause::kClientGone) {
    note_client_gone(request);
    co_return false;
  }
  if (result.response_started) {
    connection.close_broken();
    co_return false;
  }
  co_return co_await answer(connection, thread, request, explain(result, cause));
}

// ---- forward, account

// From the entry into the books to its end.
Awaitable<bool> serve_admitted(Connection& connection, ProxyThread& thread, Request& request, bool queued) {
  if (queued) {
    connection.watch_client();
    bool in = co_await await_turn(connection.active(), thread, request);
    co_await connection.stop_watching();
    if (!in) {
      request.in_session = {};
      AbortCause cause = connection.active().cause();
      request.entry.finish(cause == AbortCause::kTimedOut ? Outcome::kErrored : Outcome::kCancelled);
      if (cause == AbortCause::kClientGone) {
        note_client_gone(request);
        co_return false;
      }
      co_return co_await answer(connection, thread, request, explain_no_turn(request, cause));
    }
  }
  RelayResult result = co_await forward(connection, thread, request, true);
  request.in_session = {};
  Outcome outcome = outcome_of(result, connection.active().cause());
  request.place.leave(outcome == Outcome::kServed);
  request.entry.finish(outcome, result.first_byte_seconds);
  co_return co_await conclude(connection, thread, request, result);
}

// From its head on, or what was wrong with that.
Awaitable<bool> serve_read_request(Connection& connection, ProxyThread& thread, Door door,
                                   const std::optional<Refusal>& head_refusal) {
  ProxyCore& core = thread.core;
  Request request;
  const EndOfRequest end(connection, thread, request);

  // limits, parse
  if (head_refusal) {
    request.keep_alive = false;
    co_return co_await refuse_early(connection, thread, request, *head_refusal);
  }
  connection.active().begin(core.relay_limits.whole);
  request.id = request_id_of(connection.head());
  request.keep_alive = connection.wants_keep_alive();

  // endpoint
  FoundOwnRoute own = find_own_route(connection.head(), door);
  if (own.route != nullptr) co_return co_await serve_own_route(*own.route, connection, thread, request);
  if (auto refusal = find_endpoint(connection.head(), door, own.allow, thread, request))
    co_return co_await refuse_early(connection, thread, request, *refusal);
  if (request.endpoint->definition.websocket) {
    bool another = co_await serve_websocket(connection, thread, request);
    co_return another;
  }
  if (lacks_length(connection.head(), request))
    co_return co_await refuse_early(connection, thread, request, length_missing());
  if (auto refusal = co_await connection.read_body(request.endpoint->max_body)) {
    if (refusal->status == 0) {
      note_client_gone(request);
      co_return false;
    }
    co_return co_await refuse_early(connection, thread, request, *refusal);
  }
  core.ledger.count(Counter::kBytesFromClients, connection.body().size());

  if (request.endpoint->definition.auth == EndpointDefinition::Auth::kNone) {
    if (auto refusal = admit_unsigned(connection.stream().get_executor(), thread, request))
      co_return co_await answer(connection, thread, request, *refusal);
    request.counted = Counted(core.answering);
    if (!connection.body().empty()) request.forward.push_back(connection.body());
    RelayResult result = co_await forward(connection, thread, request, false);
    request.place.leave(false);
    co_return co_await conclude(connection, thread, request, result);
  }

  // authenticate
  EnvelopeResult parsed =
      co_await check_body(thread, connection.client(), request.endpoint->max_json_depth, connection.body());
  if (auto refusal = authenticate(std::move(parsed), connection, thread, request))
    co_return co_await refuse_early(connection, thread, request, *refusal);
  request.forward.assign(request.envelope.payload_pieces.begin(), request.envelope.payload_pieces.end());

  // admit
  if (is_priced_aside(request)) {
    co_await price_aside(thread, request);
    if (connection.active().aborted())
      co_return co_await answer(connection, thread, request, invalid_session());
  }
  bool queued = false;
  if (auto refusal =
          admit(connection.stream().get_executor(), thread, request, connection.body().size(), queued))
    co_return co_await answer(connection, thread, request, *refusal);

  // forward, account
  request.counted = Counted(core.answering);
  co_return co_await serve_admitted(connection, thread, request, queued);
}

}  // namespace

Awaitable<bool> serve_request(Connection& connection, ProxyThread& thread, Door door) {
  // A coroutine of its own, since most connections wait here: all that a request needs is made when it comes.
  const std::optional<Refusal> refusal = co_await connection.read_head();
  if (refusal && refusal->status == 0) co_return false;
  co_return co_await serve_read_request(connection, thread, door, refusal);
}

}  // namespace cppworker
