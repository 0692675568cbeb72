#include "supervisor/worker_report.hpp"

#include "common/token_digest.hpp"
#include "metrics/system_probe.hpp"

namespace cppworker {
namespace {

bool has_certificate(const WorkerParts& parts) {
  return !parts.certificates || !parts.certificates->certificate().empty();
}

bool has_key(const WorkerParts& parts) {
  return parts.settings.proxy.unsecured || !parts.keys->keys().empty();
}

ModelPhase model_phase(const WorkerParts& parts, const Ending& ending) {
  if (ending.stopping) return ModelPhase::kDraining;
  if (parts.model->admits()) return ModelPhase::kReady;
  return parts.model->figures().loads == 0 ? ModelPhase::kLoading : ModelPhase::kUnhealthy;
}

}  // namespace

ModelPhase phase_of(const WorkerParts& parts, const Ending& ending) {
  const ModelPhase phase = model_phase(parts, ending);
  const bool served = parts.proxy->service().state().phase == ServicePhase::kReady;
  return phase == ModelPhase::kReady && !served ? ModelPhase::kUnhealthy : phase;
}

std::string error_message(const WorkerParts& parts, const Ending& ending) {
  if (!ending.last_words.empty()) return ending.last_words;
  if (ending.stopping) return "the worker is shutting down";
  if (!parts.model->service().last_error().empty()) return parts.model->service().last_error();
  if (!parts.model->unwell().empty()) return "the model is unwell: " + parts.model->unwell();
  if (!parts.proxy->service().last_error().empty()) return parts.proxy->service().last_error();
  if (!has_key(parts)) return parts.keys->last_error();
  if (!has_certificate(parts)) return parts.certificates->last_error();
  return {};
}

WorkerState state_of(const WorkerParts& parts, const Ending& ending) {
  WorkerState state;
  state.phase = model_phase(parts, ending);
  state.public_keys = parts.keys->keys();
  state.max_perf = parts.model->figures().max_perf;
  state.load_seconds = parts.model->figures().load_seconds;
  if (!parts.settings.master_token.empty()) state.update_digest = token_digest(parts.settings.master_token);
  if (parts.certificates) {
    state.certificate = parts.certificates->certificate();
    state.private_key = parts.certificates->private_key();
  }
  return state;
}

WorkerFacts facts_of(const WorkerParts& parts, const Ending& ending) {
  const ModelFigures& figures = parts.model->figures();
  WorkerFacts facts;
  facts.id = *parts.settings.container_id;
  facts.mtoken = parts.settings.master_token;
  facts.version = CPPWORKER_VERSION;
  facts.url = parts.settings.public_url;
  facts.error_msg = error_message(parts, ending);
  facts.max_perf = figures.max_perf;
  facts.max_capacity = static_cast<std::int64_t>(figures.max_capacity.value_or(0));
  // A load counts for the autoscaler when requests can be served: key and certificate must be here, too.
  if (phase_of(parts, ending) == ModelPhase::kReady && has_key(parts) && has_certificate(parts)) {
    facts.load_number = figures.loads;
    facts.loadtime = figures.load_seconds;
  }
  facts.disk_used_gib = disk_used_gib();
  return facts;
}

}  // namespace cppworker
