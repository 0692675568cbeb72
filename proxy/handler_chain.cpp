#include "proxy/handler_chain.hpp"

#include "common/logging.hpp"
#include "proxy/envelope.hpp"

namespace cppworker {
namespace {

using SteadyClock = std::chrono::steady_clock;

// Clients of a loading or restarting worker are told to ask again after this: models take tens of seconds to
// load, and the autoscaler, which knows by then, sends them elsewhere.
constexpr int kRetryWhileLoading = 5;
// And those of a full queue: about one request of a server that executes one at a time.
constexpr int kRetryWhenFull = 2;

// One request on its way through the chain.
struct Request {
  const Endpoint* endpoint = nullptr;
  std::string id;
  bool keep_alive = true;
  Envelope envelope;  // of an endpoint that asks for signatures
  std::vector<std::string_view> forward;
  Acceptance acceptance;
};

Refusal with_retry(Refusal refusal, int seconds) {
  refusal.retry_after_s = seconds;
  return refusal;
}

// ---- endpoint

std::optional<Refusal> find_endpoint(const RequestHead& head, ProxyThread& thread, Request& request) {
  std::string_view target(head.target().data(), head.target().size());
  std::string_view method(head.method_string().data(), head.method_string().size());
  EndpointTable::Found found = thread.core.endpoints.find(method, path_of(target));
  request.endpoint = found.endpoint;
  if (found.endpoint != nullptr) return std::nullopt;
  if (found.allow.empty()) return refuse(404, "proxy: no such endpoint");
  Refusal refusal = refuse(405, "proxy: no such method for this endpoint");
  refusal.allow = found.allow;
  return refusal;
}

// ---- authenticate

Refusal unauthorized(ProxyThread& thread, Counter reason, std::string_view text) {
  thread.core.ledger.count(reason);
  return refuse(401, text);
}

// The body taken apart and its signature checked. Nothing is entered into the books before all of it holds.
std::optional<Refusal> authenticate(std::string_view body, ProxyThread& thread, Request& request) {
  ProxyCore& core = thread.core;
  bool unsecured = core.settings.unsecured;
  EnvelopeResult parsed = parse_envelope(body, !unsecured, core.settings.max_json_depth);
  if (!parsed) {
    EnvelopeError error = parsed.error();
    if (error.status == 401) core.ledger.count(Counter::kAuthMissing);
    Refusal refusal;
    refusal.status = error.status;
    refusal.body = std::move(error.body);
    return refusal;
  }
  request.envelope = std::move(*parsed);
  const AuthFields& auth = request.envelope.auth;

  SignedText covered = SignedText::kNone;
  if (unsecured) {
    core.ledger.count(Counter::kUnsecuredRequests);
  } else {
    if (!thread.live.keys || thread.live.keys->keys().empty()) {
      core.ledger.count(Counter::kAuthNoKey);
      return with_retry(refuse(503, "proxy: the autoscaler's public key isn't here yet"), kRetryWhileLoading);
    }
    covered = check_signature(auth, *thread.live.keys, core.verdicts);
    if (covered == SignedText::kNone) {
      if (core.wrong_signatures.fetch_add(1, std::memory_order_relaxed) + 1 == kFailuresBeforeRefetch) {
        core.wrong_signatures.store(0, std::memory_order_relaxed);
        core.ask_for_key();
      }
      return unauthorized(thread, Counter::kAuthWrongSignature, "proxy: the signature is wrong");
    }
    if (core.wrong_signatures.load(std::memory_order_relaxed) != 0)
      core.wrong_signatures.store(0, std::memory_order_relaxed);
    if (!core.settings.own_url.empty()) {
      std::string url;
      append_json_string(url, auth.url);
      if (url != core.settings.own_url)
        return unauthorized(thread, Counter::kAuthOtherWorker, "proxy: the signature is for another worker");
    }
  }
  if (!request.envelope.session_id.empty()) {
    Refusal gone;
    gone.status = 410;
    gone.body = R"({"error":"invalid session"})";
    return gone;
  }
  request.acceptance.once = covered == SignedText::kFull;
  if (!auth.reqnum.empty()) request.acceptance.reqnum = auth.reqnum_value;
  request.acceptance.request_idx = auth.request_idx_value;
  return std::nullopt;
}

std::int64_t work_of(ProxyThread& thread, const Request& request) {
  WorkloadEvaluator& evaluator = *thread.workloads[request.endpoint->position];
  Result<std::int64_t> work = evaluator.milli_units(request.envelope.payload_object);
  if (work) return *work;
  // The formula is the operator's, the payload a stranger's: the request is served all the same, as no work.
  spdlog::debug("{}", work.error().message);
  return 0;
}

// ---- admit

std::optional<Refusal> replayed(ProxyThread& thread, Verdict verdict) {
  if (verdict == Verdict::kReplayed)
    return unauthorized(thread, Counter::kAuthReplayed, "proxy: this request was seen before");
  if (verdict == Verdict::kStale)
    return unauthorized(thread, Counter::kAuthStale, "proxy: this request is too old");
  return std::nullopt;
}

// An authenticated request that isn't let in: it counts as rejected load, unless it is a replay.
Refusal reject(ProxyThread& thread, const Request& request, Refusal refusal) {
  Ledger& ledger = thread.core.ledger;
  if (auto refused = replayed(thread, ledger.peek(request.acceptance))) return *refused;
  ledger.reject(request.acceptance.endpoint, request.acceptance.work_milli, request.acceptance.request_idx);
  return refusal;
}

std::optional<Refusal> check_phase(ProxyThread& thread) {
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

// Enters the request into the books. A refusal here gives its place in the queue back.
std::optional<Refusal> enter_books(ProxyThread& thread, Request& request, Ticket& ticket) {
  auto [verdict, opened] = thread.core.ledger.accept(thread.core.owner, request.acceptance);
  ticket = opened;
  if (verdict == Verdict::kAccepted) return std::nullopt;
  if (auto refused = replayed(thread, verdict)) return refused;
  if (verdict == Verdict::kTableFull)
    return reject(thread, request,
                  with_retry(refuse(429, "proxy: too many requests in flight"), kRetryWhenFull));
  return with_retry(refuse(503, "proxy: the books are locked by a stopped process"), kRetryWhileLoading);
}

// ---- account

Refusal explain(const RelayResult& result, AbortCause cause) {
  if (result.end == RelayEnd::kAborted && cause == AbortCause::kTimedOut)
    return refuse(504, "inference server: no answer in time");
  if (result.end == RelayEnd::kUnreachable) return refuse(502, "inference server: cannot be reached");
  if (result.end == RelayEnd::kBadAnswer) return refuse(502, "inference server: its answer isn't HTTP");
  return refuse(502, "inference server: closed the connection without an answer");
}

Outcome outcome_of(const RelayResult& result, AbortCause cause) {
  if (result.end == RelayEnd::kAborted && cause == AbortCause::kClientGone) return Outcome::kCancelled;
  bool served = result.end == RelayEnd::kComplete && result.status < 400;
  return served ? Outcome::kServed : Outcome::kErrored;
}

Awaitable<bool> answer(Connection& connection, ProxyThread& thread, const Request& request, Refusal refusal) {
  // What is still on its way of the body would be read as the next request.
  bool keep_alive = request.keep_alive && !refusal.close && !connection.body_unread();
  std::string response = refusal_response(refusal, keep_alive, request.id);
  connection.active().begin_phase(thread.core.relay_limits.write);
  bool written = co_await connection.write(response);
  connection.active().end_phase();
  if (!keep_alive && written) co_await connection.close_lingering();
  co_return keep_alive&& written;
}

Awaitable<bool> refuse_early(Connection& connection, ProxyThread& thread, const Request& request,
                             Refusal refusal) {
  if (refusal.status / 100 == 4 && refusal.status != 401)
    thread.core.ledger.count(bad_request_counter(refusal.status));
  co_return co_await answer(connection, thread, request, std::move(refusal));
}

// ---- forward

Awaitable<RelayResult> forward(Connection& connection, ProxyThread& thread, Request& request) {
  RelayRequest relayed{connection.head(), std::move(request.forward), request.id, request.keep_alive};
  connection.watch_client();
  RelayResult result = co_await relay(connection.socket(), thread.pool, relayed, thread.core.relay_limits,
                                      connection.active());
  connection.stop_watching();
  connection.active().end_phase();
  Ledger& ledger = thread.core.ledger;
  ledger.count(Counter::kBytesToClients, result.bytes_to_client);
  if (result.connected_anew) ledger.count(Counter::kUpstreamConnects);
  co_return result;
}

Awaitable<bool> conclude(Connection& connection, ProxyThread& thread, const Request& request,
                         RelayResult result) {
  AbortCause cause = connection.active().cause();
  if (result.end == RelayEnd::kComplete) co_return result.keep_alive;
  if (result.end == RelayEnd::kAborted && cause == AbortCause::kClientGone) co_return false;
  if (result.response_started) {
    connection.close_broken();
    co_return false;
  }
  co_return co_await answer(connection, thread, request, explain(result, cause));
}

// Waits for the request's turn. False: it is over, cancelled or too late; the place is given back.
Awaitable<bool> await_turn(Connection& connection, ProxyThread& thread, const Request& request,
                           std::shared_ptr<Admission::Waiter> waiter) {
  ActiveRequest& active = connection.active();
  active.set_waiter(&thread.core.admission, waiter);
  active.begin_phase(
      request.endpoint->definition.max_queue_time.value_or(thread.core.relay_limits.first_byte));
  connection.watch_client();
  bool in = co_await thread.core.admission.wait(waiter);
  connection.stop_watching();
  active.end_phase();
  active.set_waiter(nullptr, nullptr);
  // It may have been let in and aborted at the same moment.
  if (in && active.cause() != AbortCause::kNone) thread.core.admission.leave();
  co_return in&& active.cause() == AbortCause::kNone;
}

// From the reserved place to the end of the books' entry.
Awaitable<bool> serve_admitted(Connection& connection, ProxyThread& thread, Request& request, Ticket ticket,
                               Admission::Place place, std::shared_ptr<Admission::Waiter> waiter) {
  ProxyCore& core = thread.core;
  auto started = SteadyClock::now();
  auto finish = [&](Outcome outcome, std::optional<double> first_byte) {
    core.ledger.finish(
        ticket, {outcome, std::chrono::duration<double>(SteadyClock::now() - started).count(), first_byte});
  };
  if (place == Admission::Place::kQueued) {
    bool in = co_await await_turn(connection, thread, request, waiter);
    if (!in) {
      bool gone = connection.active().cause() == AbortCause::kClientGone;
      finish(gone ? Outcome::kCancelled : Outcome::kErrored, std::nullopt);
      if (gone) co_return false;
      co_return co_await answer(
          connection, thread, request,
          with_retry(refuse(429, "proxy: waited too long for its turn"), kRetryWhenFull));
    }
  }
  RelayResult result = co_await forward(connection, thread, request);
  core.admission.leave();
  finish(outcome_of(result, connection.active().cause()), result.first_byte_seconds);
  co_return co_await conclude(connection, thread, request, result);
}

}  // namespace

Awaitable<bool> serve_request(Connection& connection, ProxyThread& thread) {
  ProxyCore& core = thread.core;
  Request request;

  // limits, parse
  if (auto refusal = co_await connection.read_head()) {
    request.keep_alive = false;
    if (refusal->status == 0) co_return false;
    co_return co_await refuse_early(connection, thread, request, *refusal);
  }
  request.id = request_id_of(connection.head());
  request.keep_alive = connection.wants_keep_alive();
  if (connection.head().target() == "/ping" && !connection.has_body()) {
    connection.active().begin_phase(core.relay_limits.write);
    bool written = co_await connection.write(ping_response(request.keep_alive));
    connection.active().end_phase();
    co_return written&& request.keep_alive;
  }

  // endpoint
  if (auto refusal = find_endpoint(connection.head(), thread, request))
    co_return co_await refuse_early(connection, thread, request, *refusal);
  if (auto refusal = co_await connection.read_body(request.endpoint->max_body)) {
    if (refusal->status == 0) co_return false;
    co_return co_await refuse_early(connection, thread, request, *refusal);
  }
  std::string_view body = connection.body();
  core.ledger.count(Counter::kBytesFromClients, body.size());

  if (request.endpoint->definition.auth == EndpointDefinition::Auth::kNone) {
    if (auto refusal = check_phase(thread)) co_return co_await answer(connection, thread, request, *refusal);
    if (!body.empty()) request.forward.push_back(body);
    RelayResult result = co_await forward(connection, thread, request);
    co_return co_await conclude(connection, thread, request, result);
  }

  // authenticate
  if (auto refusal = authenticate(body, thread, request))
    co_return co_await refuse_early(connection, thread, request, *refusal);
  request.acceptance.endpoint = request.endpoint->ledger_index;
  request.acceptance.work_milli = work_of(thread, request);
  request.forward.assign(request.envelope.payload_pieces.begin(), request.envelope.payload_pieces.end());

  // admit
  if (auto refusal = check_phase(thread))
    co_return co_await answer(connection, thread, request, reject(thread, request, *refusal));
  auto waiter = std::make_shared<Admission::Waiter>(connection.socket().get_executor());
  Admission::Place place = core.admission.reserve(waiter);
  if (place == Admission::Place::kFull) {
    Refusal full = with_retry(refuse(429, "proxy: the queue is full"), kRetryWhenFull);
    co_return co_await answer(connection, thread, request, reject(thread, request, full));
  }
  Ticket ticket;
  if (auto refusal = enter_books(thread, request, ticket)) {
    if (place == Admission::Place::kIn)
      core.admission.leave();
    else
      core.admission.abandon(waiter);
    co_return co_await answer(connection, thread, request, *refusal);
  }

  // forward, account
  co_return co_await serve_admitted(connection, thread, request, ticket, place, waiter);
}

}  // namespace cppworker
