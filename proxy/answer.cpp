#include "proxy/answer.hpp"

namespace cppworker {

Awaitable<> close_after_answer(Connection& connection, Request& request) {
  request.counted = {};
  co_await connection.close_lingering();
}

Awaitable<bool> answer(Connection& connection, ProxyThread& thread, Request& request, Refusal refusal) {
  // What is still on its way of the body would be read as the next request.
  bool keep_alive = request.keep_alive && !refusal.close && !connection.body_unread();
  std::string response = refusal_response(refusal, keep_alive, request.id);
  if (connection.is_head_request()) response.resize(response.size() - refusal.body.size());
  request.newcomer.stop_waiting();
  request.counted = Counted(thread.core.answering);
  connection.active().begin_write_phase(thread.core.relay_limits.write);
  bool written = co_await connection.write(response);
  connection.active().end_phase();
  Answered& answered = request.answered;
  answered.status = refusal.status;
  answered.bytes += written ? response.size() : 0;
  if (answered.outcome.empty()) answered.outcome = refusal.status < 400 ? "served" : "refused";
  if (!written) note_client_gone(request);
  if (!keep_alive && written) co_await close_after_answer(connection, request);
  co_return keep_alive&& written;
}

Awaitable<bool> refuse_early(Connection& connection, ProxyThread& thread, Request& request, Refusal refusal) {
  // Signatures (401) and sessions (410) have counters of their own, by their reasons.
  bool counted_elsewhere = refusal.status == 401 || refusal.status == 410;
  if (refusal.status / 100 == 4 && !counted_elsewhere)
    thread.core.ledger.count(bad_request_counter(refusal.status));
  if (refusal.bodies_full) thread.core.ledger.count(Counter::kBodiesFull);
  co_return co_await answer(connection, thread, request, std::move(refusal));
}

}  // namespace cppworker
