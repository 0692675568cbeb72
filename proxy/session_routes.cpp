#include "proxy/session_routes.hpp"

#include <algorithm>
#include <vector>

#include "common/logging.hpp"
#include "proxy/admit.hpp"
#include "proxy/authentication.hpp"
#include "proxy/session_auth.hpp"
#include "proxy/session_keeper.hpp"
#include "proxy/session_rules.hpp"

namespace cppworker {
namespace {

Refusal counted(ProxyThread& thread, Refusal refusal) {
  Ledger& ledger = thread.core.ledger;
  if (refusal.status == 401) ledger.count(Counter::kSessionsRefusedOwner);
  if (refusal.status == 410 || refusal.status == 400) ledger.count(Counter::kSessionsRefusedUnknown);
  if (refusal.status == 429) ledger.count(Counter::kSessionsRefusedFull);
  return refusal;
}

// The paths that may be POSTed to at a session's end.
std::vector<std::string> post_routes(const EndpointTable& endpoints) {
  std::vector<std::string> paths;
  for (const Endpoint& endpoint : endpoints.all())
    if (endpoint.definition.method == "POST") paths.push_back(endpoint.definition.path);
  return paths;
}

// The session that a query is about.
struct Asked {
  SessionQuery query;
  SessionVerdict verdict;
  SessionRecord session;
};
boost::system::result<Asked, Refusal> ask(std::string_view body, Ledger& ledger) {
  SessionQueryResult query = parse_session_query(body);
  if (!query) return query.error();
  auto [verdict, session] = ledger.find_session(query->session_id, unix_milliseconds());
  return Asked{std::move(*query), verdict, std::move(session)};
}

}  // namespace

Refusal create_session(Connection& connection, ProxyThread& thread, Request& request) {
  if (auto refusal = check_signed(
          take_apart(connection.body(), thread.core.settings, thread.core.settings.max_json_depth), thread,
          request))
    return *refusal;
  SessionOwnerResult owner = digest_creator(request.envelope.auth_data);
  if (!owner) return owner.error();
  std::vector<std::string> routes = post_routes(thread.core.endpoints);
  SessionTermsResult terms = parse_session_terms(request.envelope.payload_object, routes);
  if (!terms) return terms.error();
  // Elsewhere the client is served sooner, unless its requests would be held here.
  const bool held =
      worth_holding(thread.live, thread.core.relay_limits.hold, std::nullopt, LiveState::Clock::now())
          .has_value();
  if (auto refusal = check_phase(thread); refusal && !held) return *refusal;
  Result<std::string> id = make_session_id();
  if (!id) {
    spdlog::error("{}", id.error().message);
    return with_retry(refuse(503, "proxy: no session can be made now"), kRetryWhileLoading);
  }

  NewSession session;
  session.id = *id;
  session.auth_digest = *owner;
  session.lifetime_ms = terms->lifetime_ms;
  session.auth_data = request.envelope.auth_data;
  session.on_close_route = terms->on_close_route;
  session.on_close_payload = terms->on_close_payload;
  if (request.acceptance.once) session.reqnum_once = request.acceptance.reqnum;
  std::int64_t now = unix_milliseconds();
  auto most = static_cast<std::size_t>(thread.core.settings.max_sessions);
  // Where the signature doesn't cover it, it is the client's word, and the address's share bounds who lies.
  // The signature itself won't do: a url-only one is the same for all clients of this worker (protocol
  // section 2).
  session.grant = static_cast<std::uint32_t>(request.envelope.auth.reqnum_value);
  session.most_of_grant = std::max<std::size_t>(most / kGrantsShare, 1);
  session.address = connection.client().address_tag();
  session.most_of_address = address_share(thread.core.settings, most);
  SessionCreation creation = thread.core.ledger.create_session(session, most, now);
  switch (creation) {
    case SessionCreation::kCreated:
      thread.core.ledger.count(Counter::kSessionsCreated);
      return answer_created(*id, now + terms->lifetime_ms);
    case SessionCreation::kReplayed:
      return *replayed(thread, Verdict::kReplayed);
    case SessionCreation::kStale:
      return *replayed(thread, Verdict::kStale);
    case SessionCreation::kFull:
    case SessionCreation::kGrantFull:
    case SessionCreation::kAddressFull:
    case SessionCreation::kLocked:
      break;
  }
  return counted(thread, refuse_creation(creation));
}

Refusal get_session(std::string_view body, ProxyThread& thread) {
  auto asked = ask(body, thread.core.ledger);
  if (!asked) return asked.error();
  return counted(thread, answer_get(asked->query, asked->verdict, asked->session));
}

Refusal session_health(std::string_view body, ProxyThread& thread) {
  auto asked = ask(body, thread.core.ledger);
  if (!asked) return asked.error();
  return counted(thread, answer_health(asked->query, asked->verdict, asked->session));
}

Awaitable<Refusal> end_session(std::string_view body, ProxyThread& thread) {
  Ledger& ledger = thread.core.ledger;
  auto asked = ask(body, ledger);
  if (!asked) co_return asked.error();
  if (auto refusal = refuse_end(asked->query, asked->verdict, asked->session))
    co_return counted(thread, *refusal);
  auto [verdict, session] = ledger.begin_close_session(asked->query.session_id, unix_milliseconds());
  if (auto refusal = refuse_end(asked->query, verdict, session)) co_return counted(thread, *refusal);
  co_await close_session(thread, session);
  ledger.count(Counter::kSessionsEnded);
  co_return answer_ended(session.id);
}

std::optional<Refusal> join_session(Connection& connection, ProxyThread& thread, Request& request) {
  if (request.envelope.session_id.empty()) return std::nullopt;
  std::string id = decode_session_id(request.envelope.session_id);
  auto owner = digest_auth_data(request.envelope.auth_data);
  SessionVerdict verdict = owner ? SessionVerdict::kUnknown : SessionVerdict::kWrongOwner;
  if (owner && id.size() == kSessionIdLength) {
    // In this order none slips through a session's end (session_requests.hpp).
    ActiveRequest& active = connection.active();
    request.in_session = thread.core.session_requests.add(
        id, connection.stream().get_executor(), [&active] { active.abort(AbortCause::kSessionEnded); });
    verdict = thread.core.ledger.touch_session(id, *owner, unix_milliseconds());
  }
  if (auto refusal = refuse_use(verdict)) {
    request.in_session = {};
    return counted(thread, *refusal);
  }
  request.acceptance.once = false;
  return std::nullopt;
}

}  // namespace cppworker
