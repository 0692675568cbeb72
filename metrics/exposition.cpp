#include "metrics/exposition.hpp"

#include <prometheus/text_serializer.h>

#include <array>
#include <limits>
#include <sstream>
#include <string_view>

namespace cppworker {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

double units(std::int64_t milli) {
  return static_cast<double>(milli) / 1000.0;
}
double number(std::int64_t count) {
  return static_cast<double>(count);
}

prometheus::ClientMetric& add_series(MetricFamily& family, const Labels& labels) {
  prometheus::ClientMetric& metric = family.metric.emplace_back();
  for (const auto& [name, value] : labels) metric.label.push_back({name, value});
  return metric;
}

void add_histogram(MetricFamily& family, const Labels& labels, const DurationHistogram& histogram) {
  auto& target = add_series(family, labels).histogram;
  for (std::size_t i = 0; i < histogram.buckets.size(); ++i) {
    target.sample_count += histogram.buckets[i];
    double bound = i < ledger_layout::kDurationBounds.size() ? ledger_layout::kDurationBounds[i]
                                                             : std::numeric_limits<double>::infinity();
    target.bucket.push_back({target.sample_count, bound});
  }
  target.sample_sum = histogram.sum_seconds;
}

void add_totals(Families& families, const LedgerSnapshot& books) {
  const Totals& t = books.totals;
  const std::array<std::pair<const char*, Amount>, 4> outcomes = {
      {{"served", t.served}, {"errored", t.errored}, {"cancelled", t.cancelled}, {"rejected", t.rejected}}};

  auto& received = families.emplace_back(family("cppworker_requests_received_total",
                                                "Authenticated requests that came in.", MetricType::Counter));
  add_counter(received, {}, number(t.received.requests));
  auto& work_received = families.emplace_back(
      family("cppworker_work_received_total", "Work units that came in.", MetricType::Counter));
  add_counter(work_received, {}, units(t.received.work_milli));
  auto& work = families.emplace_back(family(
      "cppworker_work_total", "Work units of ended requests, by what became of them.", MetricType::Counter));
  for (const auto& [name, amount] : outcomes)
    add_counter(work, {{"outcome", name}}, units(amount.work_milli));

  // Requests outside any endpoint's slot are told apart as endpoint "", so that the sum is the total.
  auto& requests = families.emplace_back(family("cppworker_requests_total",
                                                "Ended requests, by endpoint and by what became of them.",
                                                MetricType::Counter));
  std::array<std::int64_t, 4> elsewhere{};
  for (std::size_t i = 0; i < outcomes.size(); ++i) elsewhere[i] = outcomes[i].second.requests;
  for (const EndpointFigures& endpoint : books.endpoints) {
    const std::array<std::int64_t, 4> here = {endpoint.served, endpoint.errored, endpoint.cancelled,
                                              endpoint.rejected};
    for (std::size_t i = 0; i < outcomes.size(); ++i) {
      add_counter(requests, {{"endpoint", endpoint.name}, {"outcome", outcomes[i].first}}, number(here[i]));
      elsewhere[i] -= here[i];
    }
  }
  for (std::size_t i = 0; i < outcomes.size(); ++i)
    if (elsewhere[i] != 0)
      add_counter(requests, {{"endpoint", ""}, {"outcome", outcomes[i].first}}, number(elsewhere[i]));
}

void add_endpoints(Families& families, const LedgerSnapshot& books) {
  if (books.endpoints.empty()) return;
  auto work =
      family("cppworker_endpoint_work_served_total", "Work units served, by endpoint.", MetricType::Counter);
  auto duration = family("cppworker_request_duration_seconds",
                         "From a request's acceptance to its response's end.", MetricType::Histogram);
  auto first_byte =
      family("cppworker_first_byte_seconds", "From a request's acceptance to its response's first byte.",
             MetricType::Histogram);
  for (const EndpointFigures& endpoint : books.endpoints) {
    Labels labels = {{"endpoint", endpoint.name}};
    add_counter(work, labels, units(endpoint.work_served_milli));
    add_histogram(duration, labels, endpoint.duration);
    add_histogram(first_byte, labels, endpoint.first_byte);
  }
  families.insert(families.end(), {std::move(work), std::move(duration), std::move(first_byte)});
}

void add_present(Families& families, const LedgerSnapshot& books) {
  add_plain_gauge(families, "cppworker_requests_in_flight", "Requests now in the worker.",
                  number(books.in_flight_amount.requests));
  add_plain_gauge(families, "cppworker_work_in_flight", "Work units of the requests now in the worker.",
                  units(books.in_flight_amount.work_milli));
  const OpenNow& open = books.open_now;
  add_plain_gauge(families, "cppworker_client_connections",
                  "Connections of clients that are open, idle ones included, a second ago.",
                  static_cast<double>(open.connections));
  add_plain_gauge(
      families, "cppworker_requests_waiting",
      "Requests in flight that wait in the proxy for a place at the inference server, a second ago.",
      static_cast<double>(open.waiting_requests));
  add_plain_gauge(families, "cppworker_waiting_bytes", "Bytes of the bodies of the requests that wait.",
                  static_cast<double>(open.waiting_bytes));
  add_plain_gauge(
      families, "cppworker_buffered_bytes",
      "Bytes of large bodies and answers in the proxy's memory, of max_buffered_bytes, a second ago.",
      static_cast<double>(open.buffered_bytes));
  add_plain_gauge(families, "cppworker_sessions", "Sessions that are open or being closed.",
                  static_cast<double>(books.sessions));
  auto& waiting = families.emplace_back(family("cppworker_finished_unreported",
                                               "Finished requests that the autoscaler hasn't been told of.",
                                               MetricType::Gauge));
  add_gauge(waiting, {{"result", "success"}}, static_cast<double>(books.succeeded.waiting));
  add_gauge(waiting, {{"result", "failure"}}, static_cast<double>(books.failed.waiting));
  auto& dropped = families.emplace_back(family("cppworker_finished_dropped_total",
                                               "Finished requests that the autoscaler will never be told of, "
                                               "because too many waited.",
                                               MetricType::Counter));
  add_counter(dropped, {{"result", "success"}}, static_cast<double>(books.succeeded.dropped));
  add_counter(dropped, {{"result", "failure"}}, static_cast<double>(books.failed.dropped));
  auto& reports = families.emplace_back(
      family("cppworker_reports_acknowledged_total", "Load reports that got through.", MetricType::Counter));
  add_counter(reports, {}, static_cast<double>(books.acknowledged.reports));
  add_plain_gauge(families, "cppworker_ledger_outdated",
                  "1 when the ledger's lock couldn't be had: its figures are those of the scrape before.",
                  books.outdated ? 1 : 0);
  auto& reqnums = families.emplace_back(
      family("cppworker_distinct_reqnums_total", "Different reqnums that came in.", MetricType::Counter));
  add_counter(reqnums, {}, static_cast<double>(books.distinct_reqnums));
}

void add_counters(Families& families, const LedgerSnapshot& books) {
  struct Row {
    Counter counter;
    const char* name;
    const char* help;
    const char* label;
    const char* value;
    double per_unit = 1;  // of what is counted in the metric's unit
  };
  constexpr const char* kRefusals = "cppworker_auth_refusals_total";
  constexpr const char* kRefusalsHelp = "Requests refused because of their signature.";
  constexpr const char* kBad = "cppworker_bad_requests_total";
  constexpr const char* kBadHelp = "Requests refused before authentication, by status.";
  constexpr const char* kClosed = "cppworker_sessions_closed_total";
  constexpr const char* kClosedHelp = "Sessions that came to their end.";
  constexpr const char* kSessionRefusals = "cppworker_session_refusals_total";
  constexpr const char* kSessionRefusalsHelp =
      "Refused for want of a place for a session, of the session, or of its creator's auth_data.";
  constexpr const char* kUpdates = "cppworker_update_requests_total";
  constexpr const char* kUpdatesHelp =
      "Calls of /pyworker/update; refused ones didn't know the master token.";
  constexpr const char* kHandshakes = "cppworker_tls_handshake_failures_total";
  constexpr const char* kHandshakesHelp =
      "Connections to the public port that ended inside their TLS handshake: no TLS, none of ours, or too "
      "slow.";
  constexpr const char* kRefused = "cppworker_connections_refused_total";
  constexpr const char* kRefusedHelp =
      "Connections closed unread: as many as there may be were open, in all or of one client address.";
  constexpr const char* kAnswers = "cppworker_answers_total";
  constexpr const char* kAnswersHelp =
      "Requests by the status of their answer; 499: the client went away before it had the whole answer.";
  // Rows of one family stand together.
  static constexpr std::array<Row, kCounterCount> kRows = {{
      {Counter::kAuthWrongSignature, kRefusals, kRefusalsHelp, "reason", "wrong_signature"},
      {Counter::kAuthReplayed, kRefusals, kRefusalsHelp, "reason", "replayed"},
      {Counter::kAuthStale, kRefusals, kRefusalsHelp, "reason", "stale"},
      {Counter::kAuthOtherWorker, kRefusals, kRefusalsHelp, "reason", "other_worker"},
      {Counter::kAuthMissing, kRefusals, kRefusalsHelp, "reason", "missing"},
      {Counter::kAuthNoKey, kRefusals, kRefusalsHelp, "reason", "no_key"},
      {Counter::kBadRequest404, kBad, kBadHelp, "status", "404"},
      {Counter::kBadRequest405, kBad, kBadHelp, "status", "405"},
      {Counter::kBadRequest408, kBad, kBadHelp, "status", "408"},
      {Counter::kBadRequest413, kBad, kBadHelp, "status", "413"},
      {Counter::kBadRequest422, kBad, kBadHelp, "status", "422"},
      {Counter::kBadRequest431, kBad, kBadHelp, "status", "431"},
      {Counter::kBadRequest400, kBad, kBadHelp, "status", "400"},
      {Counter::kBadRequest411, kBad, kBadHelp, "status", "411"},
      {Counter::kBadRequest414, kBad, kBadHelp, "status", "414"},
      {Counter::kBadRequestOther, kBad, kBadHelp, "status", "other"},
      {Counter::kConnectionsAccepted, "cppworker_connections_accepted_total", "Connections of clients.",
       nullptr, nullptr},
      {Counter::kBytesFromClients, "cppworker_received_bytes_total", "Bytes that clients sent.", nullptr,
       nullptr},
      {Counter::kBytesToClients, "cppworker_sent_bytes_total", "Bytes sent to clients.", nullptr, nullptr},
      {Counter::kUpstreamConnects, "cppworker_upstream_connects_total",
       "Connections made to the inference server.", nullptr, nullptr},
      {Counter::kSignatureCacheHits, "cppworker_signature_cache_hits_total",
       "Signatures whose verdict was known already.", nullptr, nullptr},
      {Counter::kUnsecuredRequests, "cppworker_unsecured_requests_total",
       "Requests let in unsigned, because UNSECURED is set.", nullptr, nullptr},
      {Counter::kUpstreamBytes, "cppworker_upstream_received_bytes_total",
       "Bytes of the inference server's good answers, counted as they come.", nullptr, nullptr},
      {Counter::kUpstreamFailures, "cppworker_upstream_failures_total",
       "Requests that the inference server answered with an error of its own, or not at all.", nullptr,
       nullptr},
      {Counter::kSessionsCreated, "cppworker_sessions_created_total", "Sessions that clients created.",
       nullptr, nullptr},
      {Counter::kSessionsEnded, kClosed, kClosedHelp, "reason", "ended"},
      {Counter::kSessionsExpired, kClosed, kClosedHelp, "reason", "expired"},
      {Counter::kSessionsRefusedFull, kSessionRefusals, kSessionRefusalsHelp, "reason", "full"},
      {Counter::kSessionsRefusedUnknown, kSessionRefusals, kSessionRefusalsHelp, "reason", "unknown"},
      {Counter::kSessionsRefusedOwner, kSessionRefusals, kSessionRefusalsHelp, "reason", "wrong_owner"},
      {Counter::kUpdatesAccepted, kUpdates, kUpdatesHelp, "result", "accepted"},
      {Counter::kUpdatesRefused, kUpdates, kUpdatesHelp, "result", "refused"},
      {Counter::kTlsHandshakesFailed, kHandshakes, kHandshakesHelp, nullptr, nullptr},
      {Counter::kConnectionsRefusedFull, kRefused, kRefusedHelp, "reason", "full"},
      {Counter::kConnectionsRefusedAddress, kRefused, kRefusedHelp, "reason", "address"},
      {Counter::kRejectedAgain, "cppworker_rejected_again_total",
       "Rejections of requests that had been rejected, and counted as such, before.", nullptr, nullptr},
      {Counter::kSignedCost, "cppworker_signed_cost_total",
       "Work units that the autoscaler signed as the cost of requests that were let in.", nullptr, nullptr,
       1000},
      {Counter::kWorkOfSignedCost, "cppworker_signed_cost_work_total",
       "Work units of the same requests, by the endpoint's formula.", nullptr, nullptr, 1000},
      {Counter::kWorkOverCost, "cppworker_work_over_cost_total",
       "Requests whose work was more than ten times the cost that was signed for them; for the queue they "
       "counted as that.",
       nullptr, nullptr},
      {Counter::kBodiesFull, "cppworker_bodies_refused_total",
       "Bodies refused with 503, because those of others filled the memory for them (max_buffered_bytes).",
       nullptr, nullptr},
      {Counter::kAnswered1xx, kAnswers, kAnswersHelp, "status", "1xx"},
      {Counter::kAnswered2xx, kAnswers, kAnswersHelp, "status", "2xx"},
      {Counter::kAnswered3xx, kAnswers, kAnswersHelp, "status", "3xx"},
      {Counter::kAnswered4xx, kAnswers, kAnswersHelp, "status", "4xx"},
      {Counter::kAnswered499, kAnswers, kAnswersHelp, "status", "499"},
      {Counter::kAnswered5xx, kAnswers, kAnswersHelp, "status", "5xx"},
  }};
  for (const Row& row : kRows) {
    if (families.back().name != row.name) families.push_back(family(row.name, row.help, MetricType::Counter));
    Labels labels;
    if (row.label) labels = {{row.label, row.value}};
    add_counter(families.back(), labels,
                static_cast<double>(books.counters[static_cast<std::size_t>(row.counter)]) / row.per_unit);
  }
}

}  // namespace

MetricFamily family(std::string name, std::string help, MetricType type) {
  MetricFamily made;
  made.name = std::move(name);
  made.help = std::move(help);
  made.type = type;
  return made;
}

void add_counter(MetricFamily& family, const Labels& labels, double value) {
  add_series(family, labels).counter.value = value;
}

void add_gauge(MetricFamily& family, const Labels& labels, double value) {
  add_series(family, labels).gauge.value = value;
}

void add_plain_gauge(Families& families, const char* name, const char* help, double value) {
  add_gauge(families.emplace_back(family(name, help, MetricType::Gauge)), {}, value);
}

Families ledger_families(const LedgerSnapshot& books) {
  Families families;
  add_totals(families, books);
  add_endpoints(families, books);
  add_present(families, books);
  add_counters(families, books);
  return families;
}

std::string exposition_text(const Families& families) {
  std::ostringstream out;
  prometheus::TextSerializer().Serialize(out, families);
  return std::move(out).str();
}

}  // namespace cppworker
