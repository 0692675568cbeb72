#include "proxy/session_rules.hpp"

#include <algorithm>
#include <array>
#include <cmath>
#include <stdexcept>
#include <nlohmann/json.hpp>

#include "common/json_scan.hpp"
#include "proxy/session_auth.hpp"

namespace cppworker {
namespace {

using ledger_layout::longest_text;
using ledger_layout::SessionText;

// A place becomes free with the next sweep of expired sessions at the earliest.
constexpr int kRetryWhenFull = 5;
constexpr int kRetryWhileLocked = 5;

// {"<name>": <problem>}, as the envelope's errors are.
Refusal unprocessable(std::string_view name, nlohmann::json problem) {
  Refusal refusal;
  refusal.status = 422;
  refusal.body = nlohmann::json{{name, std::move(problem)}}.dump();
  return refusal;
}

Refusal wrong_term(std::string_view name, std::string_view problem) {
  return unprocessable("payload", nlohmann::json{{name, problem}});
}

Refusal answer(int status, std::string body) {
  Refusal refusal;
  refusal.status = status;
  refusal.body = std::move(body);
  return refusal;
}

// Times in the answers are seconds, as Python's json writes a float: 60.0.
std::string seconds(std::int64_t milliseconds) {
  return nlohmann::json(static_cast<double>(milliseconds) / 1000).dump();
}

std::string json_text(std::string_view text) {
  return nlohmann::json(text).dump();
}

// The members of that name in an object: the last one, and whether there are more.
struct NamedMember {
  explicit NamedMember(std::string_view wanted) : name(wanted) {}

  std::string_view name;
  std::string_view value;  // empty: not there, or null
  bool repeated = false;

  void take(const JsonMember& member) {
    if (!json_key_is(member, name)) return;
    repeated = repeated || seen_;
    seen_ = true;
    value = member.value == "null" ? std::string_view{} : member.value;
  }

 private:
  bool seen_ = false;
};

std::optional<std::int64_t> read_lifetime(std::string_view value) {
  if (value.empty()) return std::llround(kDefaultSessionLifetime * 1000);
  if (json_type(value) != JsonType::kNumber) return std::nullopt;
  double lifetime = json_number(value);
  if (!(lifetime > 0 && lifetime <= kLongestSessionLifetime)) return std::nullopt;
  // Upwards: what is more than nothing stays so.
  return static_cast<std::int64_t>(std::ceil(lifetime * 1000));
}

std::optional<std::string> read_route(std::string_view value, std::span<const std::string> post_routes) {
  std::string route;
  if (value.empty()) return route;
  if (json_type(value) != JsonType::kString) return std::nullopt;
  append_json_string(route, value);
  // As a whole: a query, an absolute URL or "/generate/../shutdown" is no endpoint's path.
  bool known = std::find(post_routes.begin(), post_routes.end(), route) != post_routes.end();
  bool fits = route.size() <= longest_text(SessionText::kOnCloseRoute);
  if (!route.empty() && !(known && fits)) return std::nullopt;
  return route;
}

Refusal locked() {
  Refusal refusal = refuse(503, "proxy: the books are locked by a stopped process");
  refusal.retry_after_s = kRetryWhileLocked;
  return refusal;
}

Refusal wrong_owner() {
  return refuse(401, "proxy: not the auth_data that created the session");
}

Refusal unknown_session() {
  return refuse(400, "invalid session");
}

bool there(SessionVerdict verdict) {
  return verdict == SessionVerdict::kOpen || verdict == SessionVerdict::kClosing;
}

}  // namespace

void throw_exception_from_error(const Refusal& refusal, const boost::source_location&) {
  throw std::logic_error("unchecked refusal: " + refusal.body);
}

SessionTermsResult parse_session_terms(std::string_view payload, std::span<const std::string> post_routes) {
  NamedMember lifetime("lifetime"), route("on_close_route"), close_payload("on_close_payload");
  JsonMembers members(payload);
  while (auto member = members.next())
    for (NamedMember* named : {&lifetime, &route, &close_payload}) named->take(*member);
  for (const NamedMember* named : {&lifetime, &route, &close_payload})
    if (named->repeated) return wrong_term(named->name, "given twice");

  SessionTerms terms;
  auto lifetime_ms = read_lifetime(lifetime.value);
  if (!lifetime_ms)
    return wrong_term("lifetime", "must be a number of seconds, more than 0 and no more than " +
                                      std::to_string(std::lround(kLongestSessionLifetime)));
  terms.lifetime_ms = *lifetime_ms;
  auto path = read_route(route.value, post_routes);
  if (!path) return wrong_term("on_close_route", "must be the path of one of this worker's POST endpoints");
  terms.on_close_route = std::move(*path);
  if (!close_payload.value.empty() && json_type(close_payload.value) != JsonType::kObject)
    return wrong_term("on_close_payload", "must be an object");
  if (close_payload.value.size() > longest_text(SessionText::kOnClosePayload))
    return wrong_term("on_close_payload", "is too long");
  terms.on_close_payload = close_payload.value;
  return terms;
}

SessionOwnerResult digest_creator(std::string_view auth_data) {
  if (auth_data.empty()) return unprocessable("auth_data", "field missing");
  if (auth_data.size() > longest_text(SessionText::kAuthData))
    return unprocessable("auth_data", "is too long");
  auto digest = digest_auth_data(auth_data);
  if (!digest) return unprocessable("auth_data", "nested too deeply");
  return *digest;
}

SessionQueryResult parse_session_query(std::string_view body) {
  NamedMember id("session_id"), auth("session_auth");
  JsonFault fault = validate_json_members(body, kDefaultJsonDepth, [&](const JsonMember& member) {
    id.take(member);
    auth.take(member);
  });
  if (fault == JsonFault::kTooDeep) return unprocessable("error", "JSON nested too deeply");
  if (fault != JsonFault::kNone) return unprocessable("error", "invalid JSON");
  if (json_type(json_trim(body)) != JsonType::kObject)
    return unprocessable("error", "the body must be a JSON object");
  for (const NamedMember* named : {&id, &auth})
    if (named->repeated) return unprocessable(named->name, "given twice");
  if (id.value.empty()) return unprocessable("session_id", "field missing");
  if (json_type(id.value) != JsonType::kString) return unprocessable("session_id", "must be a string");

  SessionQuery query;
  query.session_id = decode_session_id(id.value);
  if (!auth.value.empty()) query.auth = digest_auth_data(auth.value);
  return query;
}

std::string decode_session_id(std::string_view value) {
  std::string id;
  append_json_string(id, value);
  return id;
}

Refusal answer_created(std::string_view id, std::int64_t expiration_unix_ms) {
  return answer(201,
                "{\"session_id\":" + json_text(id) + ",\"expiration\":" + seconds(expiration_unix_ms) + "}");
}

Refusal refuse_creation(SessionCreation creation) {
  if (creation == SessionCreation::kLocked) return locked();
  if (creation == SessionCreation::kReplayed) return refuse(401, "proxy: this request was seen before");
  if (creation == SessionCreation::kStale) return refuse(401, "proxy: this request is too old");
  std::string_view text = "proxy: as many sessions as this worker takes are open";
  if (creation == SessionCreation::kGrantFull)
    text = "proxy: as many sessions as one route may have are open; end one, or ask for another route";
  if (creation == SessionCreation::kAddressFull)
    text = "proxy: as many sessions as one client address may have are open; end one";
  Refusal refusal = refuse(429, text);
  refusal.retry_after_s = kRetryWhenFull;
  return refusal;
}

Refusal answer_get(const SessionQuery& query, SessionVerdict verdict, const SessionRecord& session) {
  if (verdict == SessionVerdict::kLocked) return locked();
  if (!there(verdict)) return unknown_session();
  if (!same_auth_data(session.auth_digest, query.auth)) return wrong_owner();
  if (verdict == SessionVerdict::kClosing) return unknown_session();
  // The client's own JSON goes back as it came; it was checked then.
  auto or_null = [](std::string text) { return text.empty() ? std::string("null") : text; };
  std::string route = session.on_close_route.empty() ? std::string() : json_text(session.on_close_route);
  return answer(200, "{\"session_id\":" + json_text(session.id) + ",\"auth_data\":" + session.auth_data +
                         ",\"lifetime\":" + seconds(session.lifetime_ms) +
                         ",\"expiration\":" + seconds(session.expiration_unix_ms) + ",\"created_at\":" +
                         seconds(session.created_unix_ms) + ",\"on_close_route\":" + or_null(route) +
                         ",\"on_close_payload\":" + or_null(session.on_close_payload) + "}");
}

Refusal answer_health(const SessionQuery& query, SessionVerdict verdict, const SessionRecord& session) {
  if (verdict == SessionVerdict::kLocked) return locked();
  if (there(verdict) && !same_auth_data(session.auth_digest, query.auth)) return wrong_owner();
  return answer(200, verdict == SessionVerdict::kOpen ? R"({"ok":true})" : R"({"ok":false})");
}

std::optional<Refusal> refuse_end(const SessionQuery& query, SessionVerdict verdict,
                                  const SessionRecord& session) {
  if (verdict == SessionVerdict::kLocked) return locked();
  if (!there(verdict)) return unknown_session();
  if (!same_auth_data(session.auth_digest, query.auth)) return wrong_owner();
  if (verdict == SessionVerdict::kClosing) return invalid_session();
  return std::nullopt;
}

Refusal answer_ended(std::string_view id) {
  return answer(200, "{\"ended\":true,\"removed_session\":" + json_text(id) + "}");
}

std::optional<Refusal> refuse_use(SessionVerdict verdict) {
  switch (verdict) {
    case SessionVerdict::kOpen:
      return std::nullopt;
    case SessionVerdict::kLocked:
      return locked();
    case SessionVerdict::kWrongOwner:
      return wrong_owner();
    case SessionVerdict::kClosing:
    case SessionVerdict::kUnknown:
      break;
  }
  return invalid_session();
}

Refusal invalid_session() {
  return refuse(410, "invalid session");
}

std::string on_close_body(std::string_view on_close_payload, std::string_view id) {
  std::string body = "{";
  JsonMembers members(on_close_payload);
  while (auto member = members.next()) {
    if (json_key_is(*member, "session_id")) continue;
    body += '"';
    body += member->key;
    body += "\":";
    body += member->value;
    body += ',';
  }
  return body + "\"session_id\":" + json_text(id) + "}";
}

}  // namespace cppworker
