#include "supervisor/status_pages.hpp"

#include <unistd.h>

#include "metrics/exposition.hpp"
#include "metrics/supervisor_families.hpp"
#include "metrics/system_probe.hpp"
#include "supervisor/certificate_files.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

AdminAnswer page(bool good, const json& body) {
  return {good ? 200 : 503, "application/json", text_of(body)};
}

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

json describe(const Service& service) {
  const ServiceState& state = service.state();
  return {{"state", name_of(state.phase)},
          {"seconds_in_state", seconds(std::chrono::steady_clock::now() - service.since())},
          {"pid", service.pid()},
          {"launches", state.launches},
          {"failures", service.failures()},
          {"last_error", service.last_error()}};
}

json amount(const Amount& amount) {
  return {{"requests", amount.requests}, {"work", static_cast<double>(amount.work_milli) / 1000}};
}

bool is_loading(const ModelService& model) {
  return model.service().state().phase == ServicePhase::kStarting;
}

// null when it isn't.
json loading(const ModelService& model) {
  if (!is_loading(model)) return nullptr;
  auto loads = std::chrono::steady_clock::now() - model.service().state().launched_at;
  return {{"phase", name_of(model.load_phase())},
          {"seconds", seconds(loads)},
          {"seconds_without_progress", seconds(model.quiet())}};
}

json tls_of(const WorkerView& view) {
  if (view.certificates == nullptr) return nullptr;
  auto life = certificate_lifetime(view.certificates->certificate());
  return {{"certificate", view.settings.tls.certificate},
          {"valid_until", life ? json(life->until) : json(nullptr)},
          {"last_error", view.certificates->last_error()}};
}

// null for a stand-alone worker.
json reports_of(const WorkerView& view, const LedgerSnapshot& books) {
  if (view.reporter == nullptr) return nullptr;
  return {{"acknowledged", books.acknowledged.reports}, {"last_error", view.reporter->trouble()}};
}

AdminAnswer status_page(const WorkerView& view) {
  LedgerSnapshot books = view.ledger.snapshot();
  const ModelFigures& figures = view.model.figures();
  json model = describe(view.model.service());
  model["progress"] = view.model.progress();
  model["loading"] = loading(view.model);
  model["unwell"] = view.model.unwell();
  model["load_seconds"] = figures.load_seconds;
  model["loads"] = figures.loads;
  model["max_perf"] = figures.max_perf;
  model["max_capacity"] = figures.max_capacity ? json(*figures.max_capacity) : json(nullptr);
  model["benchmark_error"] = figures.benchmark_error;
  json proxy = describe(view.proxy.service());
  proxy["retiring"] = view.proxy.retiring();
  std::vector<std::string> missing = obstacles(view);
  json status = {{"version", CPPWORKER_VERSION},
                 {"backend", view.backend.name},
                 {"url", view.settings.public_url},
                 {"ready", missing.empty()},
                 {"state", phase_name(view.phase())},
                 {"waiting_for", missing},
                 {"error", view.error_message()},
                 {"pid", ::getpid()},
                 {"uptime_seconds", seconds(std::chrono::steady_clock::now() - view.started)},
                 {"unsecured", view.settings.proxy.unsecured},
                 {"public_keys", view.keys.keys().size()},
                 {"reports", reports_of(view, books)},
                 {"tls", tls_of(view)},
                 {"model", model},
                 {"proxy", proxy},
                 {"books",
                  {{"received", amount(books.totals.received)},
                   {"served", amount(books.totals.served)},
                   {"errored", amount(books.totals.errored)},
                   {"cancelled", amount(books.totals.cancelled)},
                   {"rejected", amount(books.totals.rejected)},
                   {"in_flight", amount(books.in_flight_amount)}}},
                 {"orphans_reaped", view.reaper.reaped()}};
  return {200, "application/json", text_of(status, 2)};
}

SupervisorFigures figures_of(const WorkerView& view) {
  SupervisorFigures figures;
  figures.version = CPPWORKER_VERSION;
  figures.backend = view.backend.name;
  for (ServicePhase phase : kServicePhases) figures.model_states.emplace_back(name_of(phase));
  figures.model_state = name_of(view.model.service().state().phase);
  figures.ready = obstacles(view).empty();
  figures.uptime_seconds = seconds(std::chrono::steady_clock::now() - view.started);
  figures.has_public_key = !view.keys.keys().empty();
  figures.unsecured = view.settings.proxy.unsecured;
  const auto& failures = view.model.service().failures();
  for (FailureCause cause : kFailureCauses) {
    const auto found = failures.find(std::string(name_of(cause)));
    figures.model_restarts[std::string(key_of(cause))] = found == failures.end() ? 0 : found->second;
  }
  figures.proxy_restarts = view.proxy.failures();
  if (view.reporter != nullptr)
    figures.reports = {view.reporter->failed_statuses(), view.reporter->failed_deletes(),
                       seconds(std::chrono::steady_clock::now() - view.reporter->last_acknowledged())};
  const ModelFigures& model = view.model.figures();
  figures.max_perf = model.max_perf;
  for (LoadPhase phase : kLoadPhases) figures.load_phases.emplace_back(name_of(phase));
  if (is_loading(view.model)) {
    figures.load_phase = name_of(view.model.load_phase());
    figures.seconds_without_progress = seconds(view.model.quiet());
  }
  figures.unwell = !view.model.unwell().empty();
  if (model.loads > 0) figures.load_seconds = model.load_seconds;
  if (model.max_capacity) figures.max_capacity = static_cast<std::int64_t>(*model.max_capacity);
  figures.disk_used_gib = disk_used_gib();
  auto add = [&](const char* name, pid_t pid) {
    if (pid <= 0) return;
    if (auto usage = process_usage(pid)) figures.processes.push_back({name, *usage});
  };
  add("supervisor", ::getpid());
  add("proxy", view.proxy.service().pid());
  add("model", view.model.service().pid());
  return figures;
}

AdminAnswer metrics_page(const WorkerView& view) {
  Families families = supervisor_families(figures_of(view));
  Families books = ledger_families(view.ledger.snapshot());
  families.insert(families.end(), std::make_move_iterator(books.begin()),
                  std::make_move_iterator(books.end()));
  return {200, kExpositionContentType, exposition_text(families)};
}

}  // namespace

std::vector<std::string> obstacles(const WorkerView& view) {
  std::vector<std::string> found;
  if (view.phase() != ModelPhase::kReady) found.push_back("model: " + std::string(phase_name(view.phase())));
  if (view.proxy.service().state().phase != ServicePhase::kReady)
    found.push_back("proxy: " + std::string(name_of(view.proxy.service().state().phase)));
  if (view.keys.keys().empty() && !view.settings.proxy.unsecured)
    found.push_back("public key: " +
                    (view.keys.last_error().empty() ? "not here yet" : view.keys.last_error()));
  if (view.certificates != nullptr && view.certificates->certificate().empty())
    found.push_back("certificate: " + (view.certificates->last_error().empty()
                                           ? "not here yet"
                                           : view.certificates->last_error()));
  return found;
}

std::string text_of(const json& body, int indent) {
  return body.dump(indent, ' ', false, json::error_handler_t::replace) + "\n";
}

AdminPages admin_pages(const WorkerView& view) {
  return {{"/livez",
           [] {
             return page(true, {{"live", true}});
           }},
          {"/readyz",
           [&view] {
             auto missing = obstacles(view);
             return page(missing.empty(), {{"ready", missing.empty()}, {"waiting_for", missing}});
           }},
          {"/startupz",
           [&view] {
             bool started = view.model.figures().loads > 0;
             return page(started, {{"started", started},
                                   {"progress", view.model.progress()},
                                   {"loading", loading(view.model)}});
           }},
          {"/status", [&view] { return status_page(view); }},
          {"/metrics", [&view] { return metrics_page(view); }}};
}

}  // namespace cppworker
