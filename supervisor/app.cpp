#include "supervisor/app.hpp"

#include <csignal>
#include <filesystem>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/signal_set.hpp>

#include "common/http_client.hpp"
#include "common/logging.hpp"
#include "common/startup_pages.hpp"
#include "common/text.hpp"
#include "common/token_digest.hpp"
#include "metrics/autoscaler_client.hpp"
#include "metrics/load_reporter.hpp"
#include "metrics/system_probe.hpp"
#include "supervisor/admin_server.hpp"
#include "supervisor/certificate_keeper.hpp"
#include "supervisor/launch_cgroup.hpp"
#include "supervisor/launch_records.hpp"
#include "supervisor/model_service.hpp"
#include "supervisor/movable_autoscaler.hpp"
#include "supervisor/orphan_reaper.hpp"
#include "supervisor/port_check.hpp"
#include "supervisor/proxy_service.hpp"
#include "supervisor/public_key_keeper.hpp"
#include "supervisor/reload_plan.hpp"
#include "supervisor/run_directory.hpp"
#include "supervisor/status_pages.hpp"
#include "supervisor/update_mark.hpp"

namespace cppworker {
namespace {

// One try at the key's URL of a stand-alone worker.
constexpr std::chrono::seconds kKeyFetchLimit{10};
// After everything has stopped, for the autoscaler to hear the end of it. An instance that is taken away
// doesn't wait much longer.
constexpr std::chrono::seconds kLastReportLimit{3};
// For each tree that a killed worker left. SIGKILL works at once, except on what a driver holds.
constexpr std::chrono::seconds kPredecessorLimit{20};

Awaitable<Result<std::string>> fetch_key_from(Url url) {
  HttpRequest request;
  request.server = url;
  request.target = url.path.empty() ? "/" : url.path;
  Result<HttpResponse> response = co_await http_exchange(std::move(request), kKeyFetchLimit);
  if (!response) co_return wrap("cannot fetch the public key", response.error());
  if (!response->ok())
    co_return fail("cannot fetch the public key from " + url.text() + ": status " +
                   std::to_string(response->status));
  co_return std::move(response->body);
}

// The error for exceptions that reach a coroutine's end: a bug. The worker ends, and whatever keeps the
// instance alive starts it again.
void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

class WorkerApp {
 public:
  WorkerApp(const Settings& settings, ReadSettings read, BackendDefinition backend, std::string proxy_program)
      : settings_(settings),
        read_settings_(std::move(read)),
        backend_(std::move(backend)),
        proxy_program_(std::move(proxy_program)) {
    for (const int number : {SIGHUP, SIGUSR1, SIGUSR2}) signals_.add(number);
  }

  // Opens and makes everything; on an error nothing has been started.
  Result<void> prepare() {
    auto held = hold_run_directory(settings_.run_dir);
    if (!held) return held.error();
    lock_ = std::move(*held);
    if (auto ended = end_predecessors(); !ended) return ended;
    std::error_code error;
    std::filesystem::create_directories(settings_.run_dir + "/logs", error);
    if (error) return fail("cannot make " + settings_.run_dir + "/logs: " + error.message());
    auto listener = open_listener(io_, settings_.listen_address, settings_.port);
    if (!listener) return listener.error();
    listener_.emplace(std::move(*listener));
    // On loopback alone, whatever the others are: what comes here is neither encrypted nor from outside.
    auto sessions = open_listener(io_, "127.0.0.1", *settings_.session_port);
    if (!sessions) return wrap("sessions", sessions.error());
    session_listener_.emplace(std::move(*sessions));
    auto admin = open_listener(io_, settings_.admin_address, settings_.admin_port);
    if (!admin) return wrap("admin", admin.error());
    admin_.emplace(std::move(*admin));
    std::string identity = settings_.container_id ? std::to_string(*settings_.container_id) : "stand-alone";
    auto ledger = Ledger::create(settings_.run_dir + "/ledger", identity);
    if (!ledger) return ledger.error();
    ledger_ = std::move(*ledger);
    ledger_->numbered_for(settings_.public_url);
    if (std::size_t lost = ledger_->settle_all_except(0); lost > 0)
      spdlog::warn(
          "{} requests were in flight when the worker before this one ended; they are reported as failed",
          lost);
    return prepare_services();
  }

  // After a failed prepare.
  ExitCode failure_code() const { return exit_code_ == kExitClean ? kExitCannotStart : exit_code_; }

  int run() {
    if (!become_subreaper())
      spdlog::warn("Cannot adopt orphans of the inference server: they go to PID 1 instead");
    reaper_.start();
    signals_.async_wait([this](boost::system::error_code error, int number) { on_signal(error, number); });
    asio::co_spawn(io_, run_admin_server(*admin_, admin_pages(*view_)), rethrow);
    model_->watch();
    if (!settings_.proxy.unsecured || settings_.container_id || !settings_.public_key.empty())
      asio::co_spawn(io_, keys_->run(), rethrow);
    if (certificates_) asio::co_spawn(io_, certificates_->run(), rethrow);
    if (reporter_)
      asio::co_spawn(io_, reporter_->run(), [this](std::exception_ptr error) {
        rethrow(error);
        reporter_ended_ = true;
        changed_.cancel();
      });
    proxy_->start();
    forget_startup_pages();
    io_.run();
    return exit_code_;
  }

 private:
  // What a worker on this run directory left that was killed: it would hold the GPU, and the ports.
  Result<void> end_predecessors() {
    records_.emplace(settings_.run_dir + "/launches.json");
    std::vector<ProcessInfo> survivors;
    asio::co_spawn(io_, end_left_behind(*records_, kPredecessorLimit),
                   [&](std::exception_ptr error, std::vector<ProcessInfo> left) {
                     rethrow(error);
                     survivors = std::move(left);
                   });
    io_.run();
    io_.restart();
    if (survivors.empty()) return {};
    exit_code_ = kExitUnkillable;
    return fail("cannot start: process " + survivors.front().text() +
                " of a worker before this one withstands SIGKILL; the machine needs a restart");
  }

  Result<void> prepare_services() {
    Url server = backend_.server;
    if (settings_.server_url) server = *parse_url(*settings_.server_url);
    settings_.proxy.backend_folder = backend_.folder;
    settings_.proxy.server_url = server.text();
    if (Result<void> written = write_proxy_settings(); !written) return written;
    nlohmann::json addresses = {{"port", listener_->local_endpoint().port()},
                                {"session_port", session_listener_->local_endpoint().port()},
                                {"admin_port", admin_->local_endpoint().port()}};
    if (!write_file_atomically(settings_.run_dir + "/addresses.json", addresses.dump() + "\n", 0644))
      return fail("cannot write " + settings_.run_dir + "/addresses.json");

    ModelServiceSetup model;
    model.backend = backend_;
    model.server = server;
    model.health_path = settings_.health_path;
    model.log_file = settings_.model_log;
    model.log_limits = settings_.logs;
    model.log_child_lines = settings_.log_child_lines;
    model.run_dir = settings_.run_dir;
    model.program_dir = std::filesystem::path(proxy_program_).parent_path();
    model.benchmark = settings_.benchmark;
    model.on_change = [this] { on_change(); };
    model.before_launch = [server] { return check_port_is_free(server.port); };
    model.records = &*records_;
    model.cgroup = own_cgroup_folder().value_or("");
    model.add_requests = [this](PostMortem& made) { add_requests(made, ledger_->snapshot(), 0); };
    model.on_give_up = [this] { give_up(model_->service(), kExitModelGaveUp); };
    model.pulse = [this] { return ledger_->pulse(); };
    auto made = ModelService::make(io_, *processes_, std::move(model));
    if (!made) return made.error();
    model_ = std::move(*made);

    ProxyServiceSetup setup;
    setup.program = proxy_program_;
    setup.settings_file = proxy_file();
    setup.log_json = settings_.log_json;
    setup.listener = listener_->native_handle();
    setup.session_listener = session_listener_->native_handle();
    setup.on_notice = [this](ProxyNotice notice) { on_notice(notice); };
    setup.on_change = [this] { on_change(); };
    setup.records = &*records_;
    setup.post_mortem_folder = settings_.run_dir + "/postmortem";
    setup.on_give_up = [this] { give_up(proxy_->service(), kExitProxyGaveUp); };
    proxy_ = std::make_unique<ProxyService>(io_, *processes_, *ledger_, std::move(setup));
    client_.use(settings_.report_addresses);
    keys_ = std::make_unique<PublicKeyKeeper>(io_.get_executor(), key_fetch(), key_source(),
                                              settings_.run_dir + "/public_key.pem", [this] { on_change(); });
    if (settings_.proxy.tls)
      if (auto ready = prepare_certificates(); !ready) return ready.error();
    if (settings_.container_id)
      reporter_ =
          std::make_unique<LoadReporter>(io_.get_executor(), *ledger_, client_, [this] { return facts(); });
    view_.emplace(WorkerView{settings_, backend_, *model_, *proxy_, *keys_, certificates_.get(), *ledger_,
                             reaper_, [this] { return phase(); }, [this] { return error_message(); },
                             std::chrono::steady_clock::now()});
    return {};
  }

  Result<void> prepare_certificates() {
    CertificatePaths paths{settings_.tls.certificate, settings_.tls.key,
                           settings_.run_dir + "/own_certificate_key"};
    CertificateKeeper::Sign sign;
    if (settings_.container_id) sign = sign_at(settings_.tls.sign_service, *settings_.container_id);
    certificates_ = std::make_unique<CertificateKeeper>(
        paths, sign, [this] { on_change(); }, system_certificate_clock(paths));
    if (sign) return {};
    // Nobody would ever bring one.
    return certificates_->take_what_is_there();
  }

  bool has_certificate() const { return !certificates_ || !certificates_->certificate().empty(); }

  std::string key_source() const {
    if (!settings_.public_key.empty()) return settings_.public_key;
    std::string addresses;
    for (const Url& address : settings_.report_addresses)
      addresses += (addresses.empty() ? "" : ", ") + address.text();
    return addresses;
  }

  PublicKeyKeeper::Fetch key_fetch() {
    if (settings_.public_key.empty()) return [this] { return client_.fetch_public_key(); };
    if (auto url = parse_url(settings_.public_key)) return [url = *url] { return fetch_key_from(url); };
    return fetch_from_file(settings_.public_key);
  }

  ModelPhase phase() const {
    if (stopping_) return ModelPhase::kDraining;
    if (model_->admits()) return ModelPhase::kReady;
    return model_->figures().loads == 0 ? ModelPhase::kLoading : ModelPhase::kUnhealthy;
  }

  std::string error_message() const {
    if (!last_words_.empty()) return last_words_;
    if (stopping_) return "the worker is shutting down";
    if (!model_->service().last_error().empty()) return model_->service().last_error();
    if (!model_->unwell().empty()) return "the model is unwell: " + model_->unwell();
    if (keys_->keys().empty() && !settings_.proxy.unsecured) return keys_->last_error();
    if (!has_certificate()) return certificates_->last_error();
    return {};
  }

  WorkerFacts facts() const {
    WorkerFacts facts;
    facts.id = *settings_.container_id;
    facts.mtoken = settings_.master_token;
    facts.version = CPPWORKER_VERSION;
    facts.url = settings_.public_url;
    facts.error_msg = error_message();
    facts.max_perf = model_->figures().max_perf;
    facts.max_capacity = static_cast<std::int64_t>(model_->figures().max_capacity.value_or(0));
    // A load counts for the autoscaler when requests can be served: key and certificate must be here, too.
    bool has_key = settings_.proxy.unsecured || !keys_->keys().empty();
    if (phase() == ModelPhase::kReady && has_key && has_certificate()) {
      facts.load_number = model_->figures().loads;
      facts.loadtime = model_->figures().load_seconds;
    }
    facts.disk_used_gib = disk_used_gib();
    return facts;
  }

  // Anything that others are to know of may have changed: tells the proxy and the autoscaler.
  void on_change() {
    WorkerState state;
    state.phase = phase();
    state.public_keys = keys_->keys();
    state.max_perf = model_->figures().max_perf;
    if (!settings_.master_token.empty()) state.update_digest = token_digest(settings_.master_token);
    if (certificates_) {
      state.certificate = certificates_->certificate();
      state.private_key = certificates_->private_key();
    }
    if (state != published_) {
      if (state.phase != published_.phase) spdlog::info("worker: {}", phase_name(state.phase));
      published_ = state;
      proxy_->set_state(state);
    }
    if (reporter_) reporter_->poke();
    changed_.cancel();
  }

  void on_notice(ProxyNotice notice) {
    switch (notice) {
      case ProxyNotice::kServing:
        // Once: a model isn't launched anew because a proxy is, nor while the worker stops.
        if (!stopping_ && !std::exchange(announced_, true)) {
          spdlog::info("Serving on {}:{}, admin on {}:{}", settings_.listen_address,
                       listener_->local_endpoint().port(), settings_.admin_address,
                       admin_->local_endpoint().port());
          model_->service().post(ServiceEventKind::kWantUp);
        }
        return;
      case ProxyNotice::kSignaturesFailing:
        return keys_->refetch();
      case ProxyNotice::kUpdateRequested:
        if (auto made = make_update_mark(); !made)
          spdlog::error("{}", made.error().message);
        else
          spdlog::info("An update was asked for: {} is made", kUpdateMark);
        return;
      case ProxyNotice::kAlive:
        return;  // ProxyService keeps watch over it
      case ProxyNotice::kDrained:
        changed_.cancel();
        return;
    }
  }

  std::string proxy_file() const { return settings_.run_dir + "/proxy.json"; }

  Result<void> write_proxy_settings() {
    if (write_file_atomically(proxy_file(), encode(settings_.proxy), 0644)) return {};
    return fail("cannot write " + proxy_file() + ": " + std::strerror(errno));
  }

  // Reads all files anew; whatever is wrong in them changes nothing.
  void reload() {
    Result<Settings> read = read_settings_();
    if (!read) return spdlog::error("Cannot reload: {}; nothing has changed", read.error().message);
    Result<BackendDefinition> backend = load_backend(backend_.folder);
    if (!backend) return spdlog::error("Cannot reload: {}; nothing has changed", backend.error().message);
    ReloadPlan plan = plan_reload(settings_, backend_, *read, *backend);
    if (plan.replace_proxy) {
      auto go_back = [this, before = settings_.proxy, document = backend_.document] {
        settings_.proxy = before;
        backend_.document = document;
        if (Result<void> written = write_proxy_settings(); !written)
          spdlog::error("{}", written.error().message);
      };
      settings_.proxy = plan.settings.proxy;
      Result<void> begun = write_proxy_settings();
      if (begun) begun = proxy_->replace(go_back);
      if (!begun) {
        go_back();
        return spdlog::error("Cannot reload: {}; nothing has changed", begun.error().message);
      }
    }
    settings_ = std::move(plan.settings);
    backend_.document = std::move(plan.document);
    spdlog::set_level(spdlog::level::from_str(settings_.log_level));
    client_.use(settings_.report_addresses);
    for (const std::string& name : plan.applied) spdlog::info("Reload: {} has changed", name);
    for (const std::string& name : plan.needs_restart)
      spdlog::warn("Reload: {} has changed; that needs a restart of the worker", name);
    if (plan.applied.empty() && plan.needs_restart.empty()) spdlog::info("Reload: nothing has changed");
  }

  void log_state() {
    const AdminAnswer status = admin_pages(*view_).at("/status")();
    spdlog::info("State: {}", nlohmann::json::parse(status.body, nullptr, false).dump());
  }

  void on_signal(boost::system::error_code error, int number) {
    if (error) return;
    signals_.async_wait([this](boost::system::error_code next, int again) { on_signal(next, again); });
    switch (number) {
      case SIGHUP:
        if (!stopping_) reload();
        return;
      case SIGUSR1:
        return log_state();
      case SIGUSR2:
        return model_->reopen_logs();
      default:
        return on_stop_signal(number);
    }
  }

  void on_stop_signal(int number) {
    if (stopping_) {
      spdlog::warn("Signal {} again: no more waiting", number);
      hurried_ = true;
      // Whichever is stopping now; shut_down hurries what comes later.
      model_->service().post(ServiceEventKind::kHurry);
      proxy_->hurry();
      changed_.cancel();
      return;
    }
    spdlog::info("Signal {}: draining, {} s at the most", number, settings_.drain_timeout_s);
    stopping_ = true;
    asio::co_spawn(io_, shut_down(), rethrow);
  }

  // A service has said that it won't come back: the worker ends, and tells why in its last report.
  void give_up(const Service& service, ExitCode code) {
    if (exit_code_ == kExitClean) {
      exit_code_ = service.state().phase == ServicePhase::kStuck ? kExitUnkillable : code;
      last_words_ = service.last_error();
    }
    changed_.cancel();
    if (std::exchange(stopping_, true)) return;
    asio::co_spawn(io_, shut_down(), rethrow);
  }

  // Unready, drain, stop the model, stop the proxy (last, so that it can say why to those who come), last
  // report.
  Awaitable<> shut_down() {
    on_change();
    co_await wait_for([this] { return hurried_ || proxy_->drained(); },
                      std::chrono::seconds(settings_.drain_timeout_s));
    model_->service().post(ServiceEventKind::kWantDown);
    if (hurried_) model_->service().post(ServiceEventKind::kHurry);
    co_await wait_for([this] { return is_over(model_->service().state().phase); });
    proxy_->stop();
    if (hurried_) proxy_->hurry();
    co_await wait_for([this] { return proxy_->is_over(); });
    if (reporter_) {
      reporter_->poke();
      reporter_->stop();
      co_await wait_for([this] { return reporter_ended_; }, kLastReportLimit);
    }
    spdlog::info("Stopped, exit code {}", static_cast<int>(exit_code_));
    io_.stop();
  }

  // Looks again after each change. Without a limit only for what the state machines promise to reach.
  template <class Predicate>
  Awaitable<> wait_for(Predicate reached, std::chrono::seconds limit = std::chrono::hours(24)) {
    auto until = std::chrono::steady_clock::now() + limit;
    while (!reached() && std::chrono::steady_clock::now() < until) {
      changed_.expires_at(until);
      co_await changed_.async_wait(kTuple);
    }
  }

  Settings settings_;
  const ReadSettings read_settings_;
  BackendDefinition backend_;
  const std::string proxy_program_;

  asio::io_context io_{1};
  UniqueFd lock_;
  std::optional<LaunchRecords> records_;
  std::optional<asio::ip::tcp::acceptor> listener_, session_listener_, admin_;
  std::unique_ptr<Ledger> ledger_;
  std::unique_ptr<ProcessRunner> processes_ = make_process_runner(io_);
  OrphanReaper reaper_{io_, [this](pid_t pid) { return processes_->owns(pid); }};
  asio::signal_set signals_{io_, SIGTERM, SIGINT};
  MovableAutoscaler client_;
  std::unique_ptr<PublicKeyKeeper> keys_;
  std::unique_ptr<CertificateKeeper> certificates_;  // nullptr: TLS isn't served
  std::unique_ptr<ModelService> model_;
  std::unique_ptr<ProxyService> proxy_;
  std::unique_ptr<LoadReporter> reporter_;
  std::optional<WorkerView> view_;
  asio::steady_timer changed_{io_};  // cancelled when something that shut_down waits for may have happened

  WorkerState published_;
  ExitCode exit_code_ = kExitClean;
  std::string last_words_;  // why the worker ends, where nobody asked for it
  bool announced_ = false, stopping_ = false, hurried_ = false, reporter_ended_ = false;
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
  std::signal(SIGPIPE, SIG_IGN);
  WorkerApp app(settings, std::move(read), std::move(*backend), program_dir + "/cppworker-proxy");
  if (Result<void> prepared = app.prepare(); !prepared) {
    spdlog::critical("{}", prepared.error().message);
    return app.failure_code();
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
