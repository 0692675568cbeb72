#include "proxy/admit.hpp"

#include "proxy/pricing.hpp"
#include "proxy/session_rules.hpp"

namespace cppworker {
namespace {

// An authenticated request that isn't let in: it counts as rejected load, once, unless it is a replay.
Refusal reject(ProxyThread& thread, const Request& request, Refusal refusal) {
  Ledger& ledger = thread.core.ledger;
  if (auto refused = replayed(thread, ledger.peek(request.acceptance))) return *refused;
  if (!thread.core.rejections.is_first(request.acceptance)) {
    ledger.count(Counter::kRejectedAgain);
    return refusal;
  }
  ledger.reject(request.acceptance.endpoint, request.acceptance.work_milli, request.acceptance.request_idx);
  return refusal;
}

std::optional<Refusal> reserve_place(asio::any_io_executor executor, ProxyThread& thread, Request& request,
                                     std::uint64_t bytes, bool& queued) {
  Demand demand;
  demand.work_milli = work_in_queue(request.acceptance.work_milli, request.signed_cost_milli);
  if (demand.work_milli < request.acceptance.work_milli) thread.core.ledger.count(Counter::kWorkOverCost);
  demand.bytes = bytes;
  demand.longest_wait = request.endpoint->definition.max_queue_time;
  auto waiter = std::make_shared<Admission::Waiter>(std::move(executor), demand);
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
    if (request.signed_cost_milli) {
      const auto cost = static_cast<std::uint64_t>(*request.signed_cost_milli);
      thread.core.ledger.count(Counter::kSignedCost, cost);
      thread.core.ledger.count(Counter::kWorkOfSignedCost,
                               static_cast<std::uint64_t>(request.acceptance.work_milli));
    }
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

}  // namespace

std::optional<Refusal> check_phase(const ProxyThread& thread) {
  switch (thread.live.phase) {
    case ModelPhase::kReady:
      return std::nullopt;
    case ModelPhase::kLoading:
      return with_retry(refuse(503, "worker: the model is loading"), kRetryWhileLoading);
    case ModelPhase::kUnhealthy:
      return server_away();
    case ModelPhase::kDraining:
      return with_retry(refuse(503, "worker: shutting down"), kRetryWhileLoading);
  }
  return std::nullopt;
}

std::optional<Refusal> admit(asio::any_io_executor executor, ProxyThread& thread, Request& request,
                             std::uint64_t bytes, bool& queued) {
  request.acceptance.endpoint = request.endpoint->ledger_index;
  price(thread, request);
  if (auto refusal = check_phase(thread)) {
    auto newcomer = Newcomer::let_wait(thread, *request.endpoint);
    if (!newcomer) return reject(thread, request, *refusal);
    request.newcomer = *std::move(newcomer);
  }
  if (auto refusal = reserve_place(std::move(executor), thread, request, bytes, queued)) return refusal;
  return enter_books(thread, request);
}

std::optional<Refusal> admit_unsigned(asio::any_io_executor executor, ProxyThread& thread, Request& request) {
  if (auto refusal = check_phase(thread)) return refusal;
  auto waiter = std::make_shared<Admission::Waiter>(std::move(executor), Demand{});
  Admission& admission = thread.core.endpoints.unsigned_admission(*request.endpoint);
  if (admission.reserve(waiter).place != Admission::Place::kIn)
    return with_retry(refuse(429, "proxy: too many requests without a signature at once"), kRetryWhenFull);
  request.place = AdmissionPlace(admission, std::move(waiter));
  return std::nullopt;
}

Awaitable<bool> await_turn(ActiveRequest& active, ProxyThread& thread, Request& request) {
  Admission& admission = *request.endpoint->admission;
  active.set_waiter(&admission, request.place.waiter());
  active.begin_phase(
      request.endpoint->definition.max_queue_time.value_or(thread.core.relay_limits.first_byte));
  bool in = co_await admission.wait(request.place.waiter());
  active.end_phase();
  active.set_waiter(nullptr, nullptr);
  // It may have been let in and aborted at the same moment.
  if (!in || active.aborted()) request.place.give_back();
  co_return in && !active.aborted();
}

Refusal explain_no_turn(const Request& request, AbortCause cause) {
  if (cause == AbortCause::kSessionEnded) return invalid_session();
  int retry = static_cast<int>(request.endpoint->admission->expected_wait().count());
  return with_retry(refuse(429, "proxy: waited too long for its turn"), retry);
}

}  // namespace cppworker
