#include "supervisor/worker_parts.hpp"

#include <cerrno>
#include <cstring>
#include <filesystem>
#include <boost/asio/co_spawn.hpp>

#include "common/http_client.hpp"
#include "common/logging.hpp"
#include "common/text.hpp"
#include "supervisor/admin_server.hpp"
#include "supervisor/launch_cgroup.hpp"
#include "supervisor/memory_kills.hpp"
#include "supervisor/port_check.hpp"
#include "supervisor/run_directory.hpp"

namespace cppworker {
namespace {

// One try at the key's URL of a stand-alone worker.
constexpr std::chrono::seconds kKeyFetchLimit{10};
// For each tree that a killed worker left. SIGKILL works at once, except on what a driver holds.
constexpr std::chrono::seconds kPredecessorLimit{20};

// `target` as the operator wrote it: servers tell /pubkey/ from /pubkey.
Awaitable<Result<std::string>> fetch_key_from(Url url, std::string target) {
  HttpRequest request;
  request.server = url;
  request.target = std::move(target);
  Result<HttpResponse> response = co_await http_exchange(std::move(request), kKeyFetchLimit);
  if (!response) co_return wrap("cannot fetch the public key", response.error());
  if (!response->ok())
    co_return fail("cannot fetch the public key from " + url.text() + ": status " +
                   std::to_string(response->status));
  co_return std::move(response->body);
}

// What a worker on this run directory left that was killed: it would hold the GPU, and the ports.
Result<void> end_predecessors(WorkerParts& parts, ExitCode& code) {
  parts.records.emplace(parts.settings.run_dir + "/launches.json");
  Result<std::vector<ProcessInfo>> survivors = std::vector<ProcessInfo>();
  asio::co_spawn(parts.io, end_left_behind(*parts.records, kPredecessorLimit),
                 [&](std::exception_ptr error, Result<std::vector<ProcessInfo>> left) {
                   rethrow(error);
                   survivors = std::move(left);
                 });
  parts.io.run();
  parts.io.restart();
  if (!survivors) return wrap("cannot end what a worker before this one left", survivors.error());
  if (survivors->empty()) return {};
  code = kExitUnkillable;
  const PostMortem made = post_mortem_of_left_behind(*survivors);
  keep_post_mortem(parts.settings.run_dir + "/postmortem", made);
  return fail("cannot start: " + made.summary);
}

Result<void> open_listeners(WorkerParts& parts) {
  const Settings& settings = parts.settings;
  auto listener = open_listener(parts.io, settings.listen_address, settings.port);
  if (!listener) return listener.error();
  parts.listener.emplace(std::move(*listener));
  // On loopback alone, whatever the others are: what comes here is neither encrypted nor from outside.
  auto sessions = open_listener(parts.io, "127.0.0.1", *settings.session_port);
  if (!sessions) return wrap("sessions", sessions.error());
  parts.session_listener.emplace(std::move(*sessions));
  auto admin = open_listener(parts.io, settings.admin_address, settings.admin_port);
  if (!admin) return wrap("admin", admin.error());
  parts.admin.emplace(std::move(*admin));
  return {};
}

Result<void> open_ledger(WorkerParts& parts) {
  const Settings& settings = parts.settings;
  std::string identity = settings.container_id ? std::to_string(*settings.container_id) : "stand-alone";
  auto ledger = Ledger::create(settings.run_dir + "/ledger", identity);
  if (!ledger) return ledger.error();
  parts.ledger = std::move(*ledger);
  parts.ledger->numbered_for(settings.public_url);
  if (std::size_t lost = parts.ledger->settle_all_except(0); lost > 0)
    spdlog::warn(
        "{} requests were in flight when the worker before this one ended; they are reported as failed",
        lost);
  return {};
}

Result<void> write_addresses(const WorkerParts& parts) {
  const std::string path = parts.settings.run_dir + "/addresses.json";
  nlohmann::json addresses = {{"port", parts.listener->local_endpoint().port()},
                              {"session_port", parts.session_listener->local_endpoint().port()},
                              {"admin_port", parts.admin->local_endpoint().port()}};
  if (!replace_file(path, addresses.dump() + "\n", 0644)) return fail("cannot write " + path);
  return {};
}

BackendDefinition placed_at(BackendDefinition backend, const Url& server) {
  move_server(backend, server);
  return backend;
}

Result<void> make_model(WorkerParts& parts, const PartsCallbacks& callbacks, const Url& server) {
  const Settings& settings = parts.settings;
  ModelServiceSetup setup;
  setup.backend = parts.backend;
  setup.server = server;
  setup.health_path = settings.health_path;
  setup.log_file = settings.model_log;
  setup.log_limits = settings.logs;
  setup.log_child_lines = settings.log_child_lines;
  setup.run_dir = settings.run_dir;
  setup.program_dir = std::filesystem::path(parts.proxy_program).parent_path();
  setup.benchmark = settings.benchmark;
  setup.on_change = callbacks.on_change;
  setup.before_launch = [placed = placed_at(parts.backend, server)] { return check_ports_are_free(placed); };
  setup.records = &*parts.records;
  setup.cgroup = own_cgroup_folder().value_or("");
  setup.memory_group = own_memory_group();
  setup.add_requests = [&parts](PostMortem& made) { add_requests(made, parts.ledger->snapshot(), 0); };
  setup.on_give_up = [&parts, give_up = callbacks.on_give_up] {
    give_up(parts.model->service(), kExitModelGaveUp);
  };
  setup.pulse = [&parts] { return parts.ledger->pulse(); };
  auto made = ModelService::make(parts.io, *parts.processes, std::move(setup));
  if (!made) return made.error();
  parts.model = std::move(*made);
  return {};
}

void make_proxy(WorkerParts& parts, const PartsCallbacks& callbacks) {
  ProxyServiceSetup setup;
  setup.program = parts.proxy_program;
  setup.settings_file = parts.proxy_file();
  setup.log_json = parts.settings.log_json;
  setup.listener = parts.listener->native_handle();
  setup.session_listener = parts.session_listener->native_handle();
  setup.on_notice = callbacks.on_notice;
  setup.on_change = callbacks.on_change;
  setup.records = &*parts.records;
  setup.most_failures = parts.settings.proxy_failures;
  setup.post_mortem_folder = parts.settings.run_dir + "/postmortem";
  setup.memory_group = own_memory_group();
  setup.on_give_up = [give_up = callbacks.on_give_up](const Service& proxy) {
    give_up(proxy, kExitProxyGaveUp);
  };
  parts.proxy = std::make_unique<ProxyService>(parts.io, *parts.processes, *parts.ledger, std::move(setup));
}

std::string key_source(const Settings& settings) {
  if (!settings.public_key.empty()) return settings.public_key;
  std::string addresses;
  for (const Url& address : settings.report_addresses)
    addresses += (addresses.empty() ? "" : ", ") + address.text();
  return addresses;
}

PublicKeyKeeper::Fetch key_fetch(WorkerParts& parts) {
  const std::string& source = parts.settings.public_key;
  if (source.empty()) return [&parts] { return parts.client.fetch_public_key(); };
  if (auto url = parse_url(source)) {
    const std::string target = url->path + (url->path.empty() || source.ends_with('/') ? "/" : "");
    return [url = *url, target] { return fetch_key_from(url, target); };
  }
  return fetch_from_file(source);
}

Result<void> make_certificates(WorkerParts& parts, const PartsCallbacks& callbacks) {
  const Settings& settings = parts.settings;
  CertificatePaths paths{settings.tls.certificate, settings.tls.key,
                         settings.run_dir + "/own_certificate_key"};
  CertificateKeeper::Sign sign;
  if (settings.container_id) sign = sign_at(settings.tls.sign_service, *settings.container_id);
  parts.certificates =
      std::make_unique<CertificateKeeper>(paths, sign, callbacks.on_change, system_certificate_clock(paths));
  if (sign) return {};
  // Nobody would ever bring one.
  return parts.certificates->take_what_is_there();
}

Result<void> make_services(WorkerParts& parts, const PartsCallbacks& callbacks) {
  Settings& settings = parts.settings;
  Url server = parts.backend.server;
  if (settings.server_url) server = *parse_url(*settings.server_url);
  settings.proxy.backend = part_for_proxy(parts.backend.document);
  settings.proxy.server_url = server.text();
  if (Result<void> written = write_proxy_settings(parts); !written) return written;
  if (Result<void> written = write_addresses(parts); !written) return written;
  if (Result<void> made = make_model(parts, callbacks, server); !made) return made;
  make_proxy(parts, callbacks);
  parts.client.use(settings.report_addresses);
  parts.keys =
      std::make_unique<PublicKeyKeeper>(parts.io.get_executor(), key_fetch(parts), key_source(settings),
                                        settings.run_dir + "/public_key.pem", callbacks.on_change);
  if (settings.proxy.tls)
    if (Result<void> made = make_certificates(parts, callbacks); !made) return made;
  if (settings.container_id)
    parts.reporter =
        std::make_unique<LoadReporter>(parts.io.get_executor(), *parts.ledger, parts.client, callbacks.facts);
  return {};
}

}  // namespace

Result<void> prepare(WorkerParts& parts, PartsCallbacks callbacks, ExitCode& code) {
  code = kExitCannotStart;
  const std::string& run_dir = parts.settings.run_dir;
  auto held = hold_run_directory(run_dir);
  if (!held) return held.error();
  parts.lock = std::move(*held);
  if (auto ended = end_predecessors(parts, code); !ended) return ended;
  std::error_code error;
  std::filesystem::create_directories(run_dir + "/logs", error);
  if (error) return fail("cannot make " + run_dir + "/logs: " + error.message());
  if (auto opened = open_listeners(parts); !opened) return opened;
  if (auto opened = open_ledger(parts); !opened) return opened;
  return make_services(parts, callbacks);
}

Result<void> write_proxy_settings(const WorkerParts& parts) {
  if (replace_file(parts.proxy_file(), encode(parts.settings.proxy), 0644)) return {};
  return fail("cannot write " + parts.proxy_file() + ": " + std::strerror(errno));
}

void rethrow(std::exception_ptr error) {
  if (error) std::rethrow_exception(error);
}

}  // namespace cppworker
