#include "proxy/handler_chain.hpp"

#include "common/logging.hpp"
#include "proxy/answer.hpp"
#include "proxy/authentication.hpp"
#include "proxy/forwarding.hpp"
#include "proxy/request.hpp"
#include "proxy/session_rules.hpp"

namespace cppworker {
namespace {

namespace http = boost::beast::http;

// ---- endpoint

// `own_allow`: the methods of the worker's own route at this path, none of which is the request's.
std::optional<Refusal> find_endpoint(const RequestHead& head, Door door, const std::string& own_allow,
                                     ProxyThread& thread, Request& request) {
  std::string_view target(head.target().data(), head.target().size());
  std::string_view method(head.method_string().data(), head.method_string().size());
  EndpointTable::Found found;
  if (door == Door::kPublic) found = thread.core.endpoints.find(method, path_of(target));
  if (!own_allow.empty()) found.allow = own_allow;
  request.endpoint = found.endpoint;
  if (found.endpoint != nullptr) return std::nullopt;
  if (found.allow.empty()) return refuse(404, "proxy: no such endpoint");
  Refusal refusal = refuse(405, "proxy: no such method for this endpoint");
  refusal.allow = found.allow;
  return refusal;
}

// A body without its length isn't read at all (RFC 9112 section 6.3), and none can't be signed.
bool lacks_length(const RequestHead& head, const Request& request) {
  bool has_body = head.method() != http::verb::get && head.method() != http::verb::head;
  return has_body && request.endpoint->definition.auth == EndpointDefinition::Auth::kSignature &&
         head.find(http::field::content_length) == head.end() &&
         head.find(http::field::transfer_encoding) == head.end();
}

// ---- answer

// After a relay: the connection goes on, is closed, or the failure is explained.
Awaitable<bool> conclude(Connection& connection, ProxyThread& thread, const Request& request,
                         RelayResult result) {
  AbortCause cause = connection.active().cause();
  if (result.end == RelayEnd::kComplete) {
    if (!result.keep_alive) co_await connection.close_lingering();
    co_return result.keep_alive;
  }
  if (result.end == RelayEnd::kAborted && cause == AbortCause::kClientGone) co_return false;
  if (result.response_started) {
    connection.close_broken();
    co_return false;
  }
  co_return co_await answer(connection, thread, request, explain(result, cause));
}

// ---- admit

std::int64_t work_of(ProxyThread& thread, const Request& request) {
  WorkloadEvaluator& evaluator = *thread.workloads[request.endpoint->position];
  Result<std::int64_t> work = evaluator.milli_units(request.envelope.payload_object);
  if (work) return *work;
  // The formula is the operator's, the payload a stranger's: the request is served all the same, as no work.
  spdlog::debug("{}", work.error().message);
  return 0;
}

// An authenticated request that isn't let in: it counts as rejected load, unless it is a replay.
Refusal reject(ProxyThread& thread, const Request& request, Refusal refusal) {
  Ledger& ledger = thread.core.ledger;
  if (auto refused = replayed(thread, ledger.peek(request.acceptance))) return *refused;
  ledger.reject(request.acceptance.endpoint, request.acceptance.work_milli, request.acceptance.request_idx);
  return refusal;
}

std::optional<Refusal> reserve_place(Connection& connection, ProxyThread& thread, Request& request,
                                     bool& queued) {
  Demand demand;
  demand.work_milli = request.acceptance.work_milli;
  demand.bytes = connection.body().size();
  demand.longest_wait = request.endpoint->definition.max_queue_time;
  auto waiter = std::make_shared<Admission::Waiter>(connection.stream().get_executor(), demand);
  Admission::Reservation reservation = request.endpoint->admission->reserve(waiter);
  queued = reservation.place == Admission::Place::kQueued;
  int retry = static_cast<int>(reservation.retry_after.count());
  if (reservation.place == Admission::Place::kFull)
    return reject(thread, request, with_retry(refuse(429, "proxy: the queue is full"), retry));
  if (reservation.place == Admission::Place::kTooLong)
    return reject(thread, request, with_retry(refuse(429, "proxy: the wait would be too long"), retry));
  request.place = AdmissionPlace(*request.endpoint->admission, std::move(waiter));
  return std::nullopt;
}

// Enters the request into the books. A refusal here gives its place back.
std::optional<Refusal> enter_books(ProxyThread& thread, Request& request) {
  auto [verdict, ticket] = thread.core.ledger.accept(thread.core.owner, request.acceptance);
  if (verdict == Verdict::kAccepted) {
    request.entry = BooksEntry(thread.core.ledger, ticket);
    return std::nullopt;
  }
  request.place.give_back();
  if (auto refused = replayed(thread, verdict)) return refused;
  if (verdict == Verdict::kTableFull)
    return reject(thread, request,
                  with_retry(refuse(429, "proxy: too many requests in flight"), kRetryWhenFull));
  return with_retry(refuse(503, "proxy: the books are locked by a stopped process"), kRetryWhileLoading);
}

// Waits for the request's turn. False: it is over, cancelled or too late; the place is given back.
Awaitable<bool> await_turn(Connection& connection, ProxyThread& thread, Request& request) {
  ActiveRequest& active = connection.active();
  Admission& admission = *request.endpoint->admission;
  active.set_waiter(&admission, request.place.waiter());
  active.begin_phase(
      request.endpoint->definition.max_queue_time.value_or(thread.core.relay_limits.first_byte));
  connection.watch_client();
  bool in = co_await admission.wait(request.place.waiter());
  co_await connection.stop_watching();
  active.end_phase();
  active.set_waiter(nullptr, nullptr);
  // It may have been let in and aborted at the same moment.
  if (!in || active.aborted()) request.place.give_back();
  co_return in && !active.aborted();
}

// ---- forward, account

// From the entry into the books to its end.
Awaitable<bool> serve_admitted(Connection& connection, ProxyThread& thread, Request& request, bool queued) {
  if (queued) {
    bool in = co_await await_turn(connection, thread, request);
    if (!in) {
      AbortCause cause = connection.active().cause();
      request.entry.finish(cause == AbortCause::kTimedOut ? Outcome::kErrored : Outcome::kCancelled);
      if (cause == AbortCause::kClientGone) co_return false;
      int retry = static_cast<int>(request.endpoint->admission->expected_wait().count());
      Refusal refusal = with_retry(refuse(429, "proxy: waited too long for its turn"), retry);
      if (cause == AbortCause::kSessionEnded) refusal = invalid_session();
      co_return co_await answer(connection, thread, request, std::move(refusal));
    }
  }
  RelayResult result = co_await forward(connection, thread, request, true);
  Outcome outcome = outcome_of(result, connection.active().cause());
  request.place.leave(outcome == Outcome::kServed);
  request.entry.finish(outcome, result.first_byte_seconds);
  co_return co_await conclude(connection, thread, request, result);
}

}  // namespace

std::optional<Refusal> check_phase(const ProxyThread& thread) {
  switch (thread.live.phase) {
    case ModelPhase::kReady:
      return std::nullopt;
    case ModelPhase::kLoading:
      return with_retry(refuse(503, "worker: the model is loading"), kRetryWhileLoading);
    case ModelPhase::kUnhealthy:
      return with_retry(refuse(503, "worker: the inference server is being restarted"), kRetryWhileLoading);
    case ModelPhase::kDraining:
      return with_retry(refuse(503, "worker: shutting down"), kRetryWhileLoading);
  }
  return std::nullopt;
}

Awaitable<bool> serve_request(Connection& connection, ProxyThread& thread, Door door) {
  ProxyCore& core = thread.core;
  Request request;

  // limits, parse
  if (auto refusal = co_await connection.read_head()) {
    request.keep_alive = false;
    if (refusal->status == 0) co_return false;
    co_return co_await refuse_early(connection, thread, request, *refusal);
  }
  connection.active().begin(core.relay_limits.whole);
  request.id = request_id_of(connection.head());
  request.keep_alive = connection.wants_keep_alive();

  // endpoint
  FoundOwnRoute own = find_own_route(connection.head(), door);
  if (own.route != nullptr) co_return co_await serve_own_route(*own.route, connection, thread, request);
  if (auto refusal = find_endpoint(connection.head(), door, own.allow, thread, request))
    co_return co_await refuse_early(connection, thread, request, *refusal);
  if (lacks_length(connection.head(), request))
    co_return co_await refuse_early(connection, thread, request,
                                    refuse(411, "proxy: the body's length is missing"));
  if (auto refusal = co_await connection.read_body(request.endpoint->max_body)) {
    if (refusal->status == 0) co_return false;
    co_return co_await refuse_early(connection, thread, request, *refusal);
  }
  core.ledger.count(Counter::kBytesFromClients, connection.body().size());

  if (request.endpoint->definition.auth == EndpointDefinition::Auth::kNone) {
    if (auto refusal = check_phase(thread)) co_return co_await answer(connection, thread, request, *refusal);
    if (!connection.body().empty()) request.forward.push_back(connection.body());
    RelayResult result = co_await forward(connection, thread, request, false);
    co_return co_await conclude(connection, thread, request, result);
  }

  // authenticate
  if (auto refusal = authenticate(connection.body(), connection, thread, request))
    co_return co_await refuse_early(connection, thread, request, *refusal);
  request.acceptance.endpoint = request.endpoint->ledger_index;
  request.acceptance.work_milli = work_of(thread, request);
  request.forward.assign(request.envelope.payload_pieces.begin(), request.envelope.payload_pieces.end());

  // admit
  if (auto refusal = check_phase(thread))
    co_return co_await answer(connection, thread, request, reject(thread, request, *refusal));
  bool queued = false;
  if (auto refusal = reserve_place(connection, thread, request, queued))
    co_return co_await answer(connection, thread, request, *refusal);
  if (auto refusal = enter_books(thread, request))
    co_return co_await answer(connection, thread, request, *refusal);

  // forward, account
  co_return co_await serve_admitted(connection, thread, request, queued);
}

}  // namespace cppworker
