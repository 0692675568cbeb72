// What the admin server shows: the worker's state as pages.
#pragma once

#include <chrono>
#include <functional>
#include <string>
#include <vector>
#include <nlohmann/json.hpp>

#include "common/worker_state.hpp"
#include "launchers/backend_definition.hpp"
#include "metrics/ledger.hpp"
#include "metrics/load_reporter.hpp"
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
  const LoadReporter* reporter = nullptr;  // nullptr: stand-alone
};

// What keeps the worker from serving; empty when nothing does.
std::vector<std::string> obstacles(const WorkerView& view);

// A page's text. What stands in it comes from files, servers and the system: a byte that is no UTF-8 costs
// its character, not the page.
std::string text_of(const nlohmann::json& body, int indent = -1);

// /livez: the supervisor's loop turns. /startupz: the model was ready once. /readyz: requests are served now;
// the body says what is missing. /status: all of it. /metrics: the supervisor's and the ledger's series.
AdminPages admin_pages(const WorkerView& view);

}  // namespace cppworker
