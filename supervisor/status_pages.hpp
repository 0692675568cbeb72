// What the admin server shows: the worker's state as pages.
#pragma once

#include <chrono>
#include <functional>
#include <string>

#include "common/worker_state.hpp"
#include "launchers/backend_definition.hpp"
#include "metrics/ledger.hpp"
#include "supervisor/admin_server.hpp"
#include "supervisor/certificate_keeper.hpp"
#include "supervisor/model_service.hpp"
#include "supervisor/orphan_reaper.hpp"
#include "supervisor/proxy_service.hpp"
#include "supervisor/public_key_keeper.hpp"
#include "supervisor/settings.hpp"

namespace cppworker {

// What the pages look at; all of it outlives the admin server.
struct WorkerView {
  const Settings& settings;
  const BackendDefinition& backend;
  ModelService& model;
  ProxyService& proxy;
  const PublicKeyKeeper& keys;
  const CertificateKeeper* certificates;  // nullptr: TLS isn't served
  Ledger& ledger;
  const OrphanReaper& reaper;
  std::function<ModelPhase()> phase;
  std::function<std::string()> error_message;
  std::chrono::steady_clock::time_point started;
};

// /livez: the supervisor's loop turns. /startupz: the model was ready once. /readyz: requests are served now;
// the body says what is missing. /status: all of it. /metrics: the supervisor's and the ledger's series.
AdminPages admin_pages(const WorkerView& view);

}  // namespace cppworker
