// One request on its way through the chain (handler_chain.cpp), and the refusals that several of its steps
// make.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "metrics/ledger.hpp"
#include "proxy/admission_place.hpp"
#include "proxy/books_entry.hpp"
#include "proxy/counted.hpp"
#include "proxy/endpoint_table.hpp"
#include "proxy/envelope.hpp"
#include "proxy/error_response.hpp"
#include "proxy/newcomer.hpp"
#include "proxy/proxy_core.hpp"
#include "proxy/session_requests.hpp"

namespace cppworker {

// The client went away before it had its answer (protocol section 3); no client ever sees it.
inline constexpr int kClientWentAway = 499;

// How a request was answered (access_log.hpp).
struct Answered {
  int status = 0;           // 0: not yet
  std::uint64_t bytes = 0;  // to the client
  std::optional<double> first_byte_seconds;
  std::string_view outcome;  // "served", "errored", "cancelled" or "refused"
};

struct Request {
  const Endpoint* endpoint = nullptr;
  std::string id;
  bool keep_alive = true;
  Envelope envelope;                       // of an endpoint that asks for signatures
  std::vector<std::string_view> forward;   // the body's pieces for the inference server
  std::optional<std::int64_t> work_milli;  // once it is priced (pricing.hpp)
  std::optional<std::int64_t> signed_cost_milli;
  Acceptance acceptance;               // as it is entered into the books
  BooksEntry entry;                    // there
  AdmissionPlace place;                // in the endpoint's admission
  Newcomer newcomer;                   // while the server that it waits for has never met it
  SessionRequests::Handle in_session;  // while it is one of a session's open requests
  Answered answered;
  Counted counted;  // among those that a drain waits for; from when it is let in
};

// As it is called in logs and metrics.
inline std::string_view name_of(Outcome outcome) {
  switch (outcome) {
    case Outcome::kServed:
      return "served";
    case Outcome::kErrored:
      return "errored";
    case Outcome::kCancelled:
      return "cancelled";
  }
  return "errored";
}

inline void note_client_gone(Request& request) {
  request.answered.status = kClientWentAway;
  request.answered.outcome = name_of(Outcome::kCancelled);
}

// Clients of a loading or restarting worker are told to ask again after this: models take tens of seconds to
// load, and the autoscaler, which knows by then, sends them elsewhere.
inline constexpr int kRetryWhileLoading = 5;
// And when no slot is free in the books.
inline constexpr int kRetryWhenFull = 2;

inline Refusal with_retry(Refusal refusal, int seconds) {
  refusal.retry_after_s = seconds;
  return refusal;
}

inline Refusal server_away() {
  return with_retry(refuse(503, "worker: the inference server is being restarted"), kRetryWhileLoading);
}

inline Refusal length_missing() {
  return refuse(411, "proxy: the body's length is missing");
}

// A refusal for want of a good signature, counted by its reason.
inline Refusal unauthorized(ProxyThread& thread, Counter reason, std::string_view text) {
  thread.core.ledger.count(reason);
  return refuse(401, text);
}

// The refusal of a request that the replay window doesn't let in; nullopt for any other verdict.
inline std::optional<Refusal> replayed(ProxyThread& thread, Verdict verdict) {
  if (verdict == Verdict::kReplayed)
    return unauthorized(thread, Counter::kAuthReplayed, "proxy: this request was seen before");
  if (verdict == Verdict::kStale)
    return unauthorized(thread, Counter::kAuthStale, "proxy: this request is too old");
  return std::nullopt;
}

}  // namespace cppworker
