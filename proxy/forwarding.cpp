#include "proxy/forwarding.hpp"

#include "proxy/holding.hpp"
#include "proxy/session_rules.hpp"

namespace cppworker {
namespace {

// The server's fault, as far as its answer tells. 424 is TGI's status for a failure inside a generation, a
// sticky CUDA error among them; 501 and 503 say "not this" and "not now".
bool failed_by_server(const RelayResult& result) {
  if (result.end == RelayEnd::kAborted || result.end == RelayEnd::kAway) return false;
  if (result.end != RelayEnd::kComplete) return true;
  return result.status == 424 || (result.status >= 500 && result.status != 501 && result.status != 503);
}

// An answer that was read whole.
bool is_served(const RelayResult& result) {
  return result.status < 400 && !result.failed_inside;
}

}  // namespace

Awaitable<RelayResult> forward(Connection& connection, ProxyThread& thread, Request& request, bool hold) {
  ActiveRequest& active = connection.active();
  const RelayLimits& limits = thread.core.relay_limits;
  RelayRequest relayed{connection.head(),
                       request.forward,
                       request.id,
                       request.keep_alive,
                       request.endpoint->definition.failure_lines,
                       hold ? &thread.core.ledger : nullptr};
  // Its place is free for the next one when the server is done, not when the client has read it all.
  if (hold && request.endpoint->admission->is_limited()) relayed.gathered = &connection.bodies();
  relayed.when_read = [&request](const RelayResult& read) {
    request.place.leave(is_served(read));
    request.entry.note_at_server(false);
  };
  // It is held for its answer's sake, which may take an hour to stream, no longer.
  relayed.when_answered = [&connection, &request] {
    request.forward = {};
    request.envelope = {};
    connection.release_body();
  };
  RelayResult result;
  connection.watch_client();
  Holding holding(thread, active, hold, request.newcomer);
  while (true) {
    bool there = co_await holding.server_is_there();
    if (!there && holding.unsent()) result.end = RelayEnd::kAway;
    if (!there) break;
    request.entry.note_at_server(true);
    result = co_await relay(connection.stream(), thread.pool, relayed, limits, active);
    request.entry.note_at_server(false);
    if (result.connected_anew) thread.core.ledger.count(Counter::kUpstreamConnects);
    if (result.end != RelayEnd::kUnreachable && result.end != RelayEnd::kNoAnswer) break;
    bool again = co_await holding.send_again();
    if (!again) break;
  }
  if (active.aborted() && !result.response_started) result.end = RelayEnd::kAborted;
  co_await connection.stop_watching();
  active.end_phase();
  thread.core.ledger.count(Counter::kBytesToClients, result.bytes_to_client);
  request.answered = {result.status, result.bytes_to_client, result.first_byte_seconds,
                      name_of(outcome_of(result, active.cause()))};
  if (relayed.books && failed_by_server(result)) relayed.books->count(Counter::kUpstreamFailures);
  co_return result;
}

Refusal explain(const RelayResult& result, AbortCause cause) {
  if (cause == AbortCause::kSessionEnded) return invalid_session();
  if (result.end == RelayEnd::kAborted && cause == AbortCause::kTimedOut)
    return refuse(504, "inference server: no answer in time");
  if (result.end == RelayEnd::kAway) return server_away();
  if (result.end == RelayEnd::kUnreachable) return refuse(502, "inference server: cannot be reached");
  if (result.end == RelayEnd::kBadAnswer) return refuse(502, "inference server: its answer isn't HTTP");
  return refuse(502, "inference server: closed the connection without an answer");
}

Outcome outcome_of(const RelayResult& result, AbortCause cause) {
  bool left = cause == AbortCause::kClientGone || cause == AbortCause::kClientSlow ||
              cause == AbortCause::kSessionEnded;
  if (result.end == RelayEnd::kAborted && left) return Outcome::kCancelled;
  bool served = result.end == RelayEnd::kComplete && is_served(result);
  return served ? Outcome::kServed : Outcome::kErrored;
}

}  // namespace cppworker
