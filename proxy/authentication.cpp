#include "proxy/authentication.hpp"

#include "proxy/canonical_json.hpp"
#include "proxy/session_routes.hpp"

namespace cppworker {
namespace {

Refusal explain(const EnvelopeError& error, ProxyThread& thread) {
  if (error.status == 401) thread.core.ledger.count(Counter::kAuthMissing);
  Refusal refusal;
  refusal.status = error.status;
  refusal.body = error.body;
  return refusal;
}

// After a few wrong ones the key is asked for again: it may have been changed.
void note_wrong_signature(ProxyCore& core) {
  if (core.wrong_signatures.fetch_add(1, std::memory_order_relaxed) + 1 < kFailuresBeforeRefetch) return;
  auto now = std::chrono::steady_clock::now();
  auto asked = core.key_asked.load(std::memory_order_relaxed);
  // Of several threads one asks.
  if (now - asked < kRefetchPause || !core.key_asked.compare_exchange_strong(asked, now)) return;
  core.wrong_signatures.store(0, std::memory_order_relaxed);
  core.ask_for_key();
}

bool is_own_url(const ProxyCore& core, std::string_view url_in_json) {
  if (core.settings.own_url.empty()) return true;
  std::string url;
  append_json_string(url, url_in_json);
  return url == core.settings.own_url;
}

}  // namespace

EnvelopeResult take_apart(std::string_view body, const ProxySettings& settings, int max_depth) {
  return parse_envelope(body, !settings.unsecured, max_depth);
}

std::optional<Refusal> check_signed(EnvelopeResult parsed, ProxyThread& thread, Request& request) {
  ProxyCore& core = thread.core;
  bool unsecured = core.settings.unsecured;
  if (!parsed) return explain(parsed.error(), thread);
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
    CheckedSignature checked = check_signature(auth, *thread.live.keys, core.verdicts);
    covered = checked.covers;
    if (checked.remembered) core.ledger.count(Counter::kSignatureCacheHits);
    if (covered == SignedText::kNone) {
      note_wrong_signature(core);
      return unauthorized(thread, Counter::kAuthWrongSignature, "proxy: the signature is wrong");
    }
    if (!is_own_url(core, auth.url))
      return unauthorized(thread, Counter::kAuthOtherWorker, "proxy: the signature is for another worker");
  }
  request.acceptance.once = covered == SignedText::kFull;
  if (!auth.reqnum.empty()) request.acceptance.reqnum = auth.reqnum_value;
  request.acceptance.request_idx = auth.request_idx_value;
  return std::nullopt;
}

std::optional<Refusal> authenticate(EnvelopeResult parsed, Connection& connection, ProxyThread& thread,
                                    Request& request) {
  if (auto refusal = check_signed(std::move(parsed), thread, request)) return refusal;
  connection.keep_place();
  return join_session(connection, thread, request);
}

}  // namespace cppworker
