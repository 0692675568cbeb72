#include "proxy/session_keeper.hpp"

#include <algorithm>
#include <boost/asio/co_spawn.hpp>

#include "common/http_client.hpp"
#include "common/logging.hpp"
#include "proxy/admission_place.hpp"
#include "proxy/books_entry.hpp"
#include "proxy/session_rules.hpp"
#include "proxy/upkeep.hpp"

namespace cppworker {
namespace {

using Clock = std::chrono::steady_clock;

// Its answer is thrown away.
constexpr std::size_t kLargestOnCloseAnswer = 1 << 20;

// How often it is looked whether a session's requests have ended: they do in a turn of their loops.
constexpr std::chrono::milliseconds kRequestsLook{5};

const Endpoint* post_endpoint(const EndpointTable& endpoints, std::string_view path) {
  return endpoints.find("POST", path).endpoint;
}

// Waits for a place at the inference server, as requests do: one that executes one at a time is never given
// two. False: there was none in time.
Awaitable<bool> take_place(ProxyThread& thread, Admission& admission, std::int64_t work_milli,
                           Clock::time_point until, AdmissionPlace& place) {
  Demand demand;
  demand.work_milli = work_milli;
  auto waiter = std::make_shared<Admission::Waiter>(thread.io.get_executor(), demand);
  Admission::Place reserved = admission.reserve(waiter).place;
  if (reserved != Admission::Place::kIn && reserved != Admission::Place::kQueued) co_return false;
  place = AdmissionPlace(admission, waiter);
  if (reserved == Admission::Place::kIn) co_return true;
  asio::steady_timer limit(thread.io, until);
  limit.async_wait([&admission, waiter](boost::system::error_code error) {
    if (!error) admission.give_up(waiter);
  });
  bool in = co_await admission.wait(waiter);
  co_return in;
}

// It is load as any request's to that endpoint, which the autoscaler should hear of. Without a request_idx,
// since it didn't send it. When the books are full or locked, the call is made all the same.
BooksEntry enter_books(ProxyThread& thread, const Endpoint& endpoint, std::int64_t work_milli) {
  Acceptance acceptance;
  acceptance.endpoint = endpoint.ledger_index;
  acceptance.work_milli = work_milli;
  auto [verdict, ticket] = thread.core.ledger.accept(thread.core.owner, acceptance);
  return verdict == Verdict::kAccepted ? BooksEntry(thread.core.ledger, ticket) : BooksEntry();
}

Awaitable<> call_on_close(ProxyThread& thread, const SessionRecord& session) {
  const Endpoint* endpoint = post_endpoint(thread.core.endpoints, session.on_close_route);
  // The backend's definition may be another by now.
  if (endpoint == nullptr) co_return;
  auto until = Clock::now() + kOnCloseLimit;
  std::string body = on_close_body(session.on_close_payload, session.id);
  // As of a request: what the formula can't make work of is none.
  Result<std::int64_t> found = thread.workloads[endpoint->position]->milli_units(body);
  std::int64_t work = found ? *found : 0;
  BooksEntry entry = enter_books(thread, *endpoint, work);
  AdmissionPlace place;
  bool in = co_await take_place(thread, *endpoint->admission, work, until, place);
  if (!in) {
    spdlog::warn("sessions: {} was not called at a session's end: there was no place for it in time",
                 session.on_close_route);
    co_return;
  }
  entry.note_at_server(true);
  HttpRequest request;
  request.method = "POST";
  request.server.host = thread.pool.server().address().to_string();
  request.server.port = thread.pool.server().port();
  request.target = session.on_close_route;
  request.content_type = "application/json";
  request.body = std::move(body);
  auto left = std::chrono::duration_cast<std::chrono::milliseconds>(until - Clock::now());
  Result<HttpResponse> response = co_await http_exchange(
      std::move(request), std::max(left, std::chrono::milliseconds(1)), kLargestOnCloseAnswer);
  if (!response)
    spdlog::warn("sessions: {} at a session's end: {}", session.on_close_route, response.error().message);
  else if (!response->ok())
    spdlog::warn("sessions: {} at a session's end: status {}", session.on_close_route, response->status);
  bool served = response && response->ok();
  place.leave(served);
  entry.finish(served ? Outcome::kServed : Outcome::kErrored);
}

// Each is told on its own thread, and gone when that has closed its connection to the inference server.
Awaitable<> end_requests(ProxyThread& thread, const std::string& id) {
  SessionRequests& requests = thread.core.session_requests;
  requests.close(id);
  thread.core.tell_others();
  const auto until = Clock::now() + kRequestsEndLimit;
  while (requests.has(id) && Clock::now() < until) co_await sleep_for(kRequestsLook);
}

}  // namespace

Awaitable<> close_session(ProxyThread& thread, SessionRecord session) {
  co_await end_requests(thread, session.id);
  if (!session.on_close_route.empty()) co_await call_on_close(thread, session);
  thread.core.ledger.remove_session(session.id);
}

void sweep_sessions(ProxyThread& thread, std::int64_t now_unix_ms) {
  Ledger& ledger = thread.core.ledger;
  for (const std::string& id : ledger.expired_sessions(now_unix_ms)) {
    auto [verdict, session] = ledger.begin_close_session(id, now_unix_ms);
    if (verdict != SessionVerdict::kOpen) continue;  // another proxy was faster
    ledger.count(Counter::kSessionsExpired);
    asio::co_spawn(thread.io, close_session(thread, std::move(session)), [](std::exception_ptr failure) {
      // Memory that ran out, or a bug: it is taken on again after kClosingBound.
      if (failure) spdlog::error("sessions: closing one ended unexpectedly: {}", message_of(failure));
    });
  }
}

void look_after_session_requests(ProxyCore& core, std::int64_t now_unix_ms) {
  for (const std::string& id : core.session_requests.ids()) {
    SessionVerdict verdict = core.ledger.find_session(id, now_unix_ms).first;
    // A locked ledger tells nothing.
    if (verdict == SessionVerdict::kClosing || verdict == SessionVerdict::kUnknown)
      core.session_requests.close(id);
  }
}

Awaitable<> keep_sessions(ProxyThread& thread) {
  static_assert(kSessionSweep % kSessionLook == std::chrono::seconds(0));
  for (std::int64_t turn = 1;; ++turn) {
    co_await sleep_for(kSessionLook);
    std::int64_t now = unix_milliseconds();
    look_after_session_requests(thread.core, now);
    if (turn % (kSessionSweep / kSessionLook) == 0) sweep_sessions(thread, now);
  }
}

}  // namespace cppworker
