// All that a worker consists of: opened and made here, and connected by callbacks; app.cpp starts them.
//
// Threads: the supervisor's loop, which is one of the parts.
#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <boost/asio/ip/tcp.hpp>

#include "common/unique_fd.hpp"
#include "launchers/backend_definition.hpp"
#include "metrics/ledger.hpp"
#include "metrics/load_reporter.hpp"
#include "supervisor/certificate_keeper.hpp"
#include "supervisor/exit_codes.hpp"
#include "supervisor/launch_records.hpp"
#include "supervisor/model_service.hpp"
#include "supervisor/movable_autoscaler.hpp"
#include "supervisor/orphan_reaper.hpp"
#include "supervisor/proxy_service.hpp"
#include "supervisor/public_key_keeper.hpp"
#include "supervisor/settings.hpp"

namespace cppworker {

struct PartsCallbacks {
  std::function<void()> on_change;  // anything that others are to know of may have changed
  std::function<void(ProxyNotice)> on_notice;
  std::function<void(const Service&, ExitCode)> on_give_up;
  std::function<WorkerFacts()> facts;  // for the next load report
};

// The order is that of their making; each uses only what stands above it.
struct WorkerParts {
  Settings settings;
  BackendDefinition backend;
  const std::string proxy_program;

  asio::io_context io{1};
  UniqueFd lock{};
  std::optional<LaunchRecords> records{};
  std::optional<asio::ip::tcp::acceptor> listener{}, session_listener{}, admin{};
  std::unique_ptr<Ledger> ledger{};
  std::unique_ptr<ProcessRunner> processes = make_process_runner(io);
  OrphanReaper reaper{io, [this](pid_t pid) { return processes->owns(pid); }};
  MovableAutoscaler client{};
  std::unique_ptr<PublicKeyKeeper> keys{};
  std::unique_ptr<CertificateKeeper> certificates{};  // nullptr: TLS isn't served
  std::unique_ptr<ModelService> model{};
  std::unique_ptr<ProxyService> proxy{};
  std::unique_ptr<LoadReporter> reporter{};  // nullptr: stand-alone

  std::string proxy_file() const { return settings.run_dir + "/proxy.json"; }
};

// Opens and makes everything; on an error nothing has been started, and `code` says how to exit.
Result<void> prepare(WorkerParts& parts, PartsCallbacks callbacks, ExitCode& code);

// The file that proxies started from now on read.
Result<void> write_proxy_settings(const WorkerParts& parts);

// The error for exceptions that reach a coroutine's end: a bug. The worker ends, and whatever keeps the
// instance alive starts it again.
void rethrow(std::exception_ptr error);

}  // namespace cppworker
