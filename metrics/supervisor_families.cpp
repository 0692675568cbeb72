#include "metrics/supervisor_families.hpp"

namespace cppworker {
namespace {

using prometheus::MetricFamily;
using prometheus::MetricType;

void add_restarts(Families& families, const SupervisorFigures& figures) {
  auto model =
      family("cppworker_model_restarts_total", "Restarts of the inference server.", MetricType::Counter);
  for (const auto& [cause, count] : figures.model_restarts)
    add_counter(model, {{"cause", cause}}, static_cast<double>(count));
  if (!model.metric.empty()) families.push_back(std::move(model));
  add_counter(families.emplace_back(
                  family("cppworker_proxy_restarts_total", "Restarts of the proxy.", MetricType::Counter)),
              {}, static_cast<double>(figures.proxy_restarts));
}

void add_reports(Families& families, const SupervisorFigures::Reports& reports) {
  auto& failed = families.emplace_back(family("cppworker_report_failures_total",
                                              "Messages to the autoscaler that didn't get through, after all "
                                              "their tries; what they told is told again.",
                                              MetricType::Counter));
  add_counter(failed, {{"message", "worker_status"}}, static_cast<double>(reports.failed_statuses));
  add_counter(failed, {{"message", "delete_requests"}}, static_cast<double>(reports.failed_deletes));
  add_plain_gauge(families, "cppworker_report_lag_seconds",
                  "Since a load report got through; since the start as long as none has.",
                  reports.lag_seconds);
}

void add_processes(Families& families, const SupervisorFigures& figures) {
  if (figures.processes.empty()) return;
  auto memory = family("cppworker_process_resident_memory_bytes", "Resident memory.", MetricType::Gauge);
  auto cpu = family("cppworker_process_cpu_seconds_total", "User and system CPU time.", MetricType::Counter);
  auto threads = family("cppworker_process_threads", "Threads.", MetricType::Gauge);
  auto files = family("cppworker_process_open_fds", "Open file descriptors.", MetricType::Gauge);
  for (const auto& process : figures.processes) {
    Labels labels = {{"process", process.name}};
    add_gauge(memory, labels, static_cast<double>(process.usage.resident_bytes));
    add_counter(cpu, labels, process.usage.cpu_seconds);
    add_gauge(threads, labels, static_cast<double>(process.usage.threads));
    add_gauge(files, labels, static_cast<double>(process.usage.open_files));
  }
  families.insert(families.end(), {std::move(memory), std::move(cpu), std::move(threads), std::move(files)});
}

}  // namespace

Families supervisor_families(const SupervisorFigures& figures) {
  constexpr double kBytesPerGib = 1024.0 * 1024.0 * 1024.0;
  Families families;
  add_gauge(families.emplace_back(family("cppworker_info", "Always 1.", MetricType::Gauge)),
            {{"version", figures.version}, {"backend", figures.backend}}, 1);
  auto& state = families.emplace_back(
      family("cppworker_model_state", "1 for the state that the inference server is in.", MetricType::Gauge));
  for (const std::string& name : figures.model_states)
    add_gauge(state, {{"state", name}}, name == figures.model_state ? 1 : 0);
  auto& load_phase = families.emplace_back(family("cppworker_model_load_phase",
                                                  "1 for what a loading inference server is at, by its log.",
                                                  MetricType::Gauge));
  for (const std::string& name : figures.load_phases)
    add_gauge(load_phase, {{"phase", name}}, name == figures.load_phase ? 1 : 0);
  if (figures.seconds_without_progress)
    add_plain_gauge(families, "cppworker_model_load_quiet_seconds",
                    "How long nothing of a loading inference server has moved.",
                    *figures.seconds_without_progress);
  add_plain_gauge(families, "cppworker_model_unwell",
                  "1 while the inference server is up and gets nothing new, because it fails its probes.",
                  figures.unwell ? 1 : 0);
  add_plain_gauge(families, "cppworker_ready", "1 while requests are forwarded.", figures.ready ? 1 : 0);
  add_plain_gauge(families, "cppworker_public_key_present",
                  "1 while there is a public key to check signatures with.", figures.has_public_key ? 1 : 0);
  add_plain_gauge(families, "cppworker_unsecured",
                  "1 where no signature is asked for, because UNSECURED is set: for local development only.",
                  figures.unsecured ? 1 : 0);
  add_plain_gauge(families, "cppworker_uptime_seconds", "Since the supervisor started.",
                  figures.uptime_seconds);
  add_plain_gauge(families, "cppworker_max_perf", "Work units per second, by the benchmark.",
                  figures.max_perf);
  if (figures.load_seconds)
    add_plain_gauge(families, "cppworker_load_seconds", "How long the last load took.",
                    *figures.load_seconds);
  if (figures.max_capacity)
    add_plain_gauge(families, "cppworker_max_capacity", "Tokens in a batch, by the inference server's log.",
                    static_cast<double>(*figures.max_capacity));
  if (figures.disk_used_gib)
    add_plain_gauge(families, "cppworker_disk_used_bytes", "Used space of the root file system.",
                    *figures.disk_used_gib * kBytesPerGib);
  add_restarts(families, figures);
  if (figures.reports) add_reports(families, *figures.reports);
  add_processes(families, figures);
  return families;
}

}  // namespace cppworker
