#include "proxy/forwarding.hpp"

#include "proxy/session_rules.hpp"

namespace cppworker {
namespace {

using Clock = ActiveRequest::Clock;

// A request that kills the server each time it is sent must not do so for ever; one that was merely there
// when the server died deserves another try, even in a bad hour.
constexpr int kMostSends = 3;
// The connection's end is seen before the supervisor's word of the server's end arrives. Without such a word
// in this time the server lives, and has closed the connection of its own accord.
constexpr std::chrono::seconds kNoticeGrace{2};

// Waits until `reached` holds, looking whenever the worker's state changes. False: too late, or aborted.
template <class Predicate>
Awaitable<bool> wait_for_state(ProxyThread& thread, ActiveRequest& active, Clock::time_point until,
                               Predicate reached) {
  asio::steady_timer timer(thread.io);
  while (!reached()) {
    if (active.aborted() || Clock::now() >= until) co_return false;
    timer.expires_at(until);
    StateBell::Listener listening(thread.bell, timer);
    active.set_pause(&timer);
    co_await timer.async_wait(kTuple);
    active.set_pause(nullptr);
  }
  co_return !active.aborted();
}

// Ready again, or given up on.
Awaitable<bool> wait_until_back(ProxyThread& thread, ActiveRequest& active) {
  auto until = std::min(Clock::now() + thread.core.relay_limits.hold, active.whole_until());
  bool moved = co_await wait_for_state(thread, active, until, [&] {
    return thread.live.phase == ModelPhase::kReady || thread.live.phase == ModelPhase::kDraining;
  });
  co_return moved&& thread.live.phase == ModelPhase::kReady;
}

Awaitable<bool> restart_noticed(ProxyThread& thread, ActiveRequest& active, std::uint64_t epoch) {
  co_return co_await wait_for_state(thread, active, Clock::now() + kNoticeGrace,
                                    [&] { return thread.live.epoch != epoch; });
}

// The server's fault, as far as its answer tells. 424 is TGI's status for a failure inside a generation, a
// sticky CUDA error among them; 501 and 503 say "not this" and "not now".
bool failed_by_server(const RelayResult& result) {
  if (result.end == RelayEnd::kAborted) return false;
  if (result.end != RelayEnd::kComplete) return true;
  return result.status == 424 || (result.status >= 500 && result.status != 501 && result.status != 503);
}

}  // namespace

Awaitable<RelayResult> forward(Connection& connection, ProxyThread& thread, const Request& request,
                               bool hold) {
  ActiveRequest& active = connection.active();
  const RelayLimits& limits = thread.core.relay_limits;
  RelayRequest relayed{connection.head(),
                       request.forward,
                       request.id,
                       request.keep_alive,
                       request.endpoint->definition.failure_lines,
                       hold ? &thread.core.ledger : nullptr};
  hold = hold && limits.hold.count() > 0;
  RelayResult result;
  connection.watch_client();
  for (int sends = 1;; ++sends) {
    std::uint64_t epoch = thread.live.epoch;
    if (hold && thread.live.phase != ModelPhase::kReady) {
      bool back = co_await wait_until_back(thread, active);
      if (!back) break;
      epoch = thread.live.epoch;
    }
    result = co_await relay(connection.stream(), thread.pool, relayed, limits, active);
    if (result.connected_anew) thread.core.ledger.count(Counter::kUpstreamConnects);
    bool unanswered = result.end == RelayEnd::kUnreachable || result.end == RelayEnd::kNoAnswer;
    if (!unanswered || !hold || sends == kMostSends) break;
    active.begin_phase(limits.first_byte);
    bool restarting = co_await restart_noticed(thread, active, epoch);
    if (!restarting) break;
  }
  if (active.aborted() && !result.response_started) result.end = RelayEnd::kAborted;
  co_await connection.stop_watching();
  active.end_phase();
  thread.core.ledger.count(Counter::kBytesToClients, result.bytes_to_client);
  if (relayed.books && failed_by_server(result)) relayed.books->count(Counter::kUpstreamFailures);
  co_return result;
}

Refusal explain(const RelayResult& result, AbortCause cause) {
  if (cause == AbortCause::kSessionEnded) return invalid_session();
  if (result.end == RelayEnd::kAborted && cause == AbortCause::kTimedOut)
    return refuse(504, "inference server: no answer in time");
  if (result.end == RelayEnd::kUnreachable) return refuse(502, "inference server: cannot be reached");
  if (result.end == RelayEnd::kBadAnswer) return refuse(502, "inference server: its answer isn't HTTP");
  return refuse(502, "inference server: closed the connection without an answer");
}

Outcome outcome_of(const RelayResult& result, AbortCause cause) {
  bool left = cause == AbortCause::kClientGone || cause == AbortCause::kSessionEnded;
  if (result.end == RelayEnd::kAborted && left) return Outcome::kCancelled;
  bool served = result.end == RelayEnd::kComplete && result.status < 400 && !result.failed_inside;
  return served ? Outcome::kServed : Outcome::kErrored;
}

}  // namespace cppworker
