#include "supervisor/app.hpp"

#include <csignal>
#include <optional>
#include <utility>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>

#include "common/logging.hpp"
#include "common/startup_pages.hpp"
#include "supervisor/admin_server.hpp"
#include "supervisor/cli_pages.hpp"
#include "supervisor/cli_socket.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/start_check.hpp"
#include "supervisor/status_pages.hpp"
#include "supervisor/update_mark.hpp"
#include "supervisor/worker_parts.hpp"
#include "supervisor/worker_reload.hpp"
#include "supervisor/worker_report.hpp"
#include "supervisor/worker_stop.hpp"

namespace cppworker {
namespace {

class WorkerApp {
 public:
  WorkerApp(const Settings& settings, ReadSettings read, BackendDefinition backend, std::string proxy_program)
      : parts_{settings, std::move(backend), std::move(proxy_program)}, read_settings_(std::move(read)) {
    for (const int number : {SIGHUP, SIGUSR1, SIGUSR2}) signals_.add(number);
  }

  // On an error nothing has been started, and `code` says how to exit.
  Result<void> prepare(ExitCode& code) {
    PartsCallbacks callbacks;
    callbacks.on_change = [this] { on_change(); };
    callbacks.on_notice = [this](ProxyNotice notice) { on_notice(notice); };
    callbacks.on_give_up = [this](const Service& service, ExitCode how) { stop_.on_give_up(service, how); };
    callbacks.facts = [this] { return facts_of(parts_, stop_.ending()); };
    if (Result<void> made = cppworker::prepare(parts_, std::move(callbacks), code); !made) return made;
    view_.emplace(WorkerView{parts_.settings, parts_.backend, *parts_.model, *parts_.proxy, *parts_.keys,
                             parts_.certificates.get(), *parts_.ledger, parts_.reaper,
                             [this] { return phase_of(parts_, stop_.ending()); },
                             [this] { return error_message(parts_, stop_.ending()); },
                             std::chrono::steady_clock::now(), parts_.reporter.get()});
    return {};
  }

  int run() {
    const Settings& settings = parts_.settings;
    if (!become_subreaper())
      spdlog::warn("Cannot adopt orphans of the inference server: they go to PID 1 instead");
    parts_.reaper.start();
    await_signal();
    asio::co_spawn(parts_.io, run_admin_server(*parts_.admin, admin_pages(*view_)), rethrow);
    serve_commands();
    parts_.model->watch();
    if (!settings.proxy.unsecured || settings.container_id || !settings.public_key.empty())
      asio::co_spawn(parts_.io, parts_.keys->run(), rethrow);
    if (parts_.certificates) asio::co_spawn(parts_.io, parts_.certificates->run(), rethrow);
    if (parts_.reporter)
      asio::co_spawn(parts_.io, parts_.reporter->run(), [this](std::exception_ptr error) {
        rethrow(error);
        stop_.reporter_ended();
      });
    parts_.proxy->start();
    forget_startup_pages();
    parts_.io.run();
    return stop_.exit_code();
  }

 private:
  // Anything that others are to know of may have changed: tells the proxy and the autoscaler.
  void on_change() {
    WorkerState state = state_of(parts_, stop_.ending());
    if (state != published_) {
      if (state.phase != published_.phase) spdlog::info("worker: {}", phase_name(state.phase));
      published_ = state;
      parts_.proxy->set_state(state);
    }
    if (parts_.reporter) parts_.reporter->poke();
    stop_.look_again();
    if (reload_waits_) asio::post(parts_.io, [this] { reload_again(); });
  }

  // What it needs may not be possible yet; whoever has asked has gone on, and won't ask again.
  void reload_when_possible() {
    if (!stop_.ending().stopping) reload_waits_ = !reload(parts_, read_settings_);
  }

  void reload_again() {
    if (reload_waits_ && parts_.proxy->hindrance().empty()) reload_when_possible();
  }

  void on_notice(ProxyNotice notice) {
    switch (notice) {
      case ProxyNotice::kServing:
        return on_serving();
      case ProxyNotice::kSignaturesFailing:
        return parts_.keys->refetch();
      case ProxyNotice::kUpdateRequested:
        if (auto made = make_update_mark(); !made)
          spdlog::error("{}", made.error().message);
        else
          spdlog::info("An update was asked for: {} is made", kUpdateMark);
        return;
      case ProxyNotice::kAlive:
      case ProxyNotice::kTellOthers:
        return;  // ProxyService has done what there is to do
      case ProxyNotice::kDrained:
        return stop_.look_again();
    }
  }

  // Once: a model isn't launched anew because a proxy is, nor while the worker stops.
  void on_serving() {
    if (stop_.ending().stopping || std::exchange(announced_, true)) return;
    spdlog::info("Serving on {}:{}, admin on {}:{}", parts_.settings.listen_address,
                 parts_.listener->local_endpoint().port(), parts_.settings.admin_address,
                 parts_.admin->local_endpoint().port());
    parts_.model->service().post(ServiceEventKind::kWantUp);
  }

  // Without it the worker works as well: that is no reason not to start.
  void serve_commands() {
    Result<CliAcceptor> opened = open_cli_socket(parts_.io, parts_.settings.run_dir);
    if (!opened)
      return spdlog::warn("{}; commands such as `cppworker status` can't be answered",
                          opened.error().message);
    cli_.emplace(std::move(*opened));
    asio::co_spawn(parts_.io, run_admin_server(*cli_, cli_pages(*view_)), rethrow);
  }

  void await_signal() {
    signals_.async_wait([this](boost::system::error_code error, int number) {
      if (error) return;
      await_signal();
      on_signal(number);
    });
  }

  void on_signal(int number) {
    switch (number) {
      case SIGHUP:
        return reload_when_possible();
      case SIGUSR1:
        return log_state();
      case SIGUSR2:
        return parts_.model->reopen_logs();
      default:
        return stop_.on_signal(number);
    }
  }

  void log_state() {
    const AdminAnswer status = admin_pages(*view_).at("/status")();
    spdlog::info("State: {}", nlohmann::json::parse(status.body, nullptr, false).dump());
  }

  WorkerParts parts_;
  const ReadSettings read_settings_;
  WorkerStop stop_{parts_, [this] { on_change(); }};
  asio::signal_set signals_{parts_.io, SIGTERM, SIGINT};
  std::optional<WorkerView> view_;
  std::optional<CliAcceptor> cli_;
  WorkerState published_;
  bool announced_ = false;
  bool reload_waits_ = false;
};

}  // namespace

int run_worker(const Settings& settings, ReadSettings read, const std::string& program_dir) {
  auto folder = find_backend(settings.backend, settings.backend_dirs);
  if (!folder) {
    spdlog::critical("{}", folder.error().message);
    return kExitConfig;
  }
  auto backend = load_backend(*folder);
  if (!backend) {
    spdlog::critical("{}", backend.error().message);
    return kExitConfig;
  }
  std::string erased;
  for (const std::string& name : erase_undeclared_secrets(backend->launch_secrets))
    erased += (erased.empty() ? "" : ", ") + printable(name);
  if (!erased.empty())
    spdlog::info(
        "Not passed on, as their names look like secrets: {}; launch.secrets in {}/backend.json says "
        "which ones the server needs",
        erased, backend->folder);
  for (const Result<void>& checked :
       {check_server_ports(settings, *backend), check_public_key_file(settings)})
    if (!checked) {
      spdlog::critical("{}", checked.error().message);
      return kExitConfig;
    }
  WorkerApp app(settings, std::move(read), std::move(*backend), program_dir + "/cppworker-proxy");
  ExitCode code = kExitCannotStart;
  if (Result<void> prepared = app.prepare(code); !prepared) {
    spdlog::critical("{}", prepared.error().message);
    return code;
  }
  spdlog::info("cppworker {} with backend {}{}", CPPWORKER_VERSION, settings.backend,
               settings.container_id ? "" : ", stand-alone: nothing is reported");
  if (settings.proxy.unsecured)
    spdlog::warn("UNSECURED: every request is let in without a signature; for local development only");
  if (settings.public_url.empty() && !settings.proxy.unsecured)
    spdlog::warn(
        "Without /public_url a signature that the autoscaler made for another worker is good here, too");
  return app.run();
}

}  // namespace cppworker
