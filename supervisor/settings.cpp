#include "supervisor/settings.hpp"

#include <pwd.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <filesystem>
#include <boost/asio/ip/address.hpp>

#include "common/json_reader.hpp"
#include "common/json_scan.hpp"
#include "common/text.hpp"
#include "metrics/ledger_layout.hpp"

namespace cppworker {
namespace {

namespace fs = std::filesystem;

constexpr std::int64_t kMaxPort = 65535;
// With the waits between them more never come together in ten minutes.
constexpr std::int64_t kMostProxyFailures = 60;
const std::vector<std::string> kLogLevels = {"trace", "debug", "info", "warning", "error", "critical"};

Url as_url(const ConfigValue& value) {
  auto url = parse_url(value.as_string());
  if (!url) value.refuse(url.error().message);
  return *url;
}

void read_proxy(ConfigObject object, ProxySettings& proxy) {
  proxy.threads = static_cast<int>(object.integer("threads", proxy.threads, 1, 64));
  proxy.max_body_bytes = object.integer("max_body_bytes", proxy.max_body_bytes, 1024, std::int64_t{1} << 32);
  proxy.max_header_bytes = object.integer("max_header_bytes", proxy.max_header_bytes, 1024, 1 << 20);
  proxy.max_json_depth =
      static_cast<int>(object.integer("max_json_depth", proxy.max_json_depth, kLeastJsonDepth, kDeepestJson));
  proxy.max_connections = object.integer("max_connections", proxy.max_connections, 1, 1'000'000);
  proxy.address_share_percent =
      static_cast<int>(object.integer("address_share_percent", proxy.address_share_percent, 0, 100));
  proxy.max_queue = object.integer("max_queue", proxy.max_queue, 0, 1'000'000);
  proxy.first_byte_timeout_s =
      static_cast<int>(object.integer("first_byte_timeout_s", proxy.first_byte_timeout_s, 1, 86400));
  proxy.between_bytes_timeout_s =
      static_cast<int>(object.integer("between_bytes_timeout_s", proxy.between_bytes_timeout_s, 1, 86400));
  proxy.websocket_idle_timeout_s =
      static_cast<int>(object.integer("websocket_idle_timeout_s", proxy.websocket_idle_timeout_s, 1, 86400));
  proxy.whole_timeout_s =
      static_cast<int>(object.integer("whole_timeout_s", proxy.whole_timeout_s, 1, 7 * 86400));
  proxy.hold_timeout_s = static_cast<int>(object.integer("hold_timeout_s", proxy.hold_timeout_s, 0, 86400));
  proxy.max_buffered_bytes =
      object.integer("max_buffered_bytes", proxy.max_buffered_bytes, 1 << 20, std::int64_t{1} << 40);
  proxy.max_sessions = static_cast<int>(object.integer("max_sessions", proxy.max_sessions, 0,
                                                       static_cast<std::int64_t>(ledger_layout::kSessions)));
  proxy.access_log = object.boolean("access_log", proxy.access_log);
  if (auto user = object.optional("user")) {
    proxy.user = user->as_string();
    // Only root can become somebody.
    if (::geteuid() == 0 && ::getpwnam(proxy.user.c_str()) == nullptr)
      user->refuse("must be a user of this machine, as nobody");
  }
  object.finish();
}

void read_address(ConfigObject& object, const char* name, std::string& address) {
  auto value = object.optional(name);
  if (!value) return;
  address = value->as_string();
  boost::system::error_code error;
  boost::asio::ip::make_address(address, error);
  if (error) value->refuse("must be an IP address, as 0.0.0.0 or 127.0.0.1");
}

void read_tls(ConfigObject object, const fs::path& folder, Settings& settings) {
  settings.proxy.tls = object.boolean("enabled", settings.proxy.tls);
  settings.tls.certificate = folder / object.string("certificate", settings.tls.certificate);
  settings.tls.key = folder / object.string("key", settings.tls.key);
  if (auto url = object.optional("sign_url")) settings.tls.sign_service = as_url(*url);
  object.finish();
}

void read_logs(ConfigObject object, LogFileLimits& logs) {
  auto bytes = [&](const char* key, std::uint64_t otherwise) {
    return static_cast<std::uint64_t>(
        object.integer(key, static_cast<std::int64_t>(otherwise), 64 << 10, std::int64_t{1} << 40));
  };
  logs.largest = bytes("max_file_bytes", logs.largest);
  logs.files = static_cast<int>(object.integer("max_files", logs.files, 1, 1000));
  logs.oldest = std::chrono::hours(object.integer("max_age_h", 0, 0, 24 * 365));
  logs.total = bytes("max_total_bytes", std::max(logs.total, logs.largest));
  object.finish();
}

void read_file_layer(const std::string& path, Settings& settings) {
  nlohmann::json json = load_config(path);
  ConfigObject object(ConfigValue(json, path, ""));
  object.optional("$schema");
  settings.backend = object.string("backend", settings.backend);
  if (auto dirs = object.optional("backend_dirs"))
    for (const std::string& dir : dirs->as_strings())
      settings.backend_dirs.push_back(fs::path(path).parent_path() / dir);
  settings.run_dir = object.string("run_dir", settings.run_dir);
  if (auto level = object.optional("log_level")) settings.log_level = level->as_choice(kLogLevels);
  if (auto format = object.optional("log_format"))
    settings.log_json = format->as_choice({"text", "json"}) == "json";
  settings.log_child_lines = object.boolean("log_child_lines", settings.log_child_lines);
  read_address(object, "listen_address", settings.listen_address);
  settings.port = static_cast<std::uint16_t>(object.integer("port", settings.port, 0, kMaxPort));
  if (auto port = object.optional("session_port"))
    settings.session_port = static_cast<std::uint16_t>(port->as_integer(0, kMaxPort));
  read_address(object, "admin_address", settings.admin_address);
  settings.admin_port =
      static_cast<std::uint16_t>(object.integer("admin_port", settings.admin_port, 0, kMaxPort));
  if (auto list = object.optional("report_addresses"))
    for (const ConfigValue& item : list->as_list()) settings.report_addresses.push_back(as_url(item));
  settings.public_key = object.string("public_key", settings.public_key);
  if (auto url = object.optional("public_url")) {
    as_url(*url);
    settings.public_url = url->as_string();
  }
  if (auto url = object.optional("server_url")) {
    Url server = as_url(*url);
    // As in backend.json: elsewhere, others could go past the proxy, or requests would cross a network
    // unsigned.
    if (!server.on_loopback() || server.tls || !server.path.empty())
      url->refuse("must be http on loopback without a path, as http://127.0.0.1:5001");
    settings.server_url = url->as_string();
  }
  settings.benchmark = object.boolean("benchmark", settings.benchmark);
  settings.drain_timeout_s =
      static_cast<int>(object.integer("drain_timeout_s", settings.drain_timeout_s, 0, 24 * 3600));
  settings.proxy_failures =
      static_cast<int>(object.integer("proxy_failures", settings.proxy_failures, 1, kMostProxyFailures));
  if (auto tls = object.optional("tls"))
    read_tls(ConfigObject(*tls), fs::absolute(path).parent_path(), settings);
  if (auto path = object.optional("model_log")) {
    settings.model_log = path->as_string();
    if (!settings.model_log->starts_with('/')) path->refuse("must be an absolute path");
  }
  if (auto logs = object.optional("logs")) read_logs(ConfigObject(*logs), settings.logs);
  if (auto proxy = object.optional("proxy")) read_proxy(ConfigObject(*proxy), settings.proxy);
  object.finish();
}

// The environment's variables. Values stay out of messages: a name may have been given a secret by mistake.
class EnvironmentLayer {
 public:
  explicit EnvironmentLayer(const ReadVariable& variable) : variable_(variable) {}

  std::optional<std::string> text(const char* name) const {
    auto value = variable_(name);
    if (value && trim(*value).empty()) return std::nullopt;  // set but empty is how a template leaves it out
    return value;
  }

  std::optional<std::int64_t> integer(const char* name, std::int64_t least, std::int64_t most) const {
    auto value = text(name);
    if (!value) return std::nullopt;
    std::string_view digits = trim(*value);
    std::int64_t number = 0;
    auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), number);
    if (error != std::errc{} || end != digits.data() + digits.size() || number < least || number > most)
      refuse(name, "must be an integer from " + std::to_string(least) + " to " + std::to_string(most));
    return number;
  }

  bool flag(const char* name, bool otherwise = false) const {
    auto value = text(name);
    if (!value) return otherwise;
    std::string word(trim(*value));
    std::transform(word.begin(), word.end(), word.begin(), [](unsigned char c) { return std::tolower(c); });
    if (word == "true" || word == "1") return true;
    if (word == "false" || word == "0") return false;
    refuse(name, "must be true or false");
  }

  [[noreturn]] static void refuse(std::string_view name, std::string_view problem) {
    throw ConfigError("environment", name, problem);
  }

 private:
  const ReadVariable& variable_;
};

void read_environment_layer(const ReadVariable& variable, Settings& settings) {
  EnvironmentLayer environment(variable);
  if (auto backend = environment.text("BACKEND")) settings.backend = *backend;
  settings.container_id = environment.integer("CONTAINER_ID", 0, std::numeric_limits<std::int64_t>::max());
  if (auto token = environment.text("MASTER_TOKEN"))
    settings.master_token = *token;
  else if (auto older = environment.text("mtoken"))
    settings.master_token = *older;

  if (auto addresses = environment.text("REPORT_ADDR")) {
    settings.report_addresses.clear();
    for (const std::string& address : split_list(*addresses, ',')) {
      auto url = parse_url(address);
      if (!url) EnvironmentLayer::refuse("REPORT_ADDR", url.error().message);
      settings.report_addresses.push_back(*url);
    }
  }
  if (settings.report_addresses.empty())
    settings.report_addresses.push_back(*parse_url("https://run.vast.ai"));

  if (auto port = environment.integer("WORKER_PORT", 0, kMaxPort))
    settings.port = static_cast<std::uint16_t>(*port);
  else if (auto older = environment.integer("AUTH_PORT", 0, kMaxPort))
    settings.port = static_cast<std::uint16_t>(*older);

  if (auto port = environment.integer("WORKER_HTTP_PORT", 0, kMaxPort))
    settings.session_port = static_cast<std::uint16_t>(*port);

  settings.proxy.tls = environment.flag("USE_SSL", settings.proxy.tls);
  auto address = environment.text("PUBLIC_IPADDR");
  std::string mapped_name = "VAST_TCP_PORT_" + std::to_string(settings.port);
  auto mapped_port = environment.integer(mapped_name.c_str(), 1, kMaxPort);
  if (address && mapped_port)
    settings.public_url = (settings.proxy.tls ? "https://" : "http://") + std::string(trim(*address)) + ":" +
                          std::to_string(*mapped_port);
  if (!settings.public_url.empty() && !parse_url(settings.public_url))
    EnvironmentLayer::refuse("PUBLIC_IPADDR", "must be an IP address or a host name");

  settings.proxy.unsecured = environment.flag("UNSECURED");
  if (auto path = environment.text("MODEL_LOG")) {
    if (!path->starts_with('/')) EnvironmentLayer::refuse("MODEL_LOG", "must be an absolute path");
    settings.model_log = *path;
  }
  if (auto path = environment.text("MODEL_HEALTH_ENDPOINT")) {
    if (!path->starts_with('/')) EnvironmentLayer::refuse("MODEL_HEALTH_ENDPOINT", "must begin with '/'");
    settings.health_path = *path;
  }
}

std::string default_run_dir(const ReadVariable& variable) {
  if (::geteuid() == 0) return "/var/lib/cppworker";
  if (auto state = variable("XDG_STATE_HOME"); state && !state->empty()) return *state + "/cppworker";
  if (auto home = variable("HOME"); home && !home->empty()) return *home + "/.local/state/cppworker";
  return "/tmp/cppworker-" + std::to_string(::geteuid());
}

// What only the whole can tell.
void check_together(const Settings& settings) {
  auto same_port = [](std::uint16_t one, std::uint16_t other) { return one != 0 && one == other; };
  if (same_port(*settings.session_port, settings.admin_port) ||
      same_port(*settings.session_port, settings.port))
    throw ConfigError(settings.origin, "/session_port",
                      "must be another than port and admin_port; it is the one after port (WORKER_HTTP_PORT) "
                      "unless it is set");
  if (same_port(settings.admin_port, settings.port))
    throw ConfigError(settings.origin, "/admin_port", "must be another than port (WORKER_PORT)");
  if (settings.proxy.tls && settings.public_url.starts_with("http://"))
    throw ConfigError(settings.origin, "/public_url",
                      "must begin with https://, as USE_SSL or /tls/enabled has TLS served");
  if (settings.container_id && settings.master_token.empty())
    EnvironmentLayer::refuse("MASTER_TOKEN",
                             "is needed to report as CONTAINER_ID; unset both to run stand-alone");
  if (settings.container_id && settings.public_url.empty() && settings.port != 0)
    EnvironmentLayer::refuse("PUBLIC_IPADDR", "is needed to report as CONTAINER_ID, with VAST_TCP_PORT_" +
                                                  std::to_string(settings.port) +
                                                  ": clients couldn't be sent here");
  if (!settings.container_id && settings.public_key.empty() && !settings.proxy.unsecured)
    throw ConfigError(
        settings.origin, "/public_key",
        "is needed by a worker without CONTAINER_ID: the autoscaler's key as PEM file or URL; or "
        "set UNSECURED=true for local development");
}

std::string run_dir_of(std::string from_file, const Flags& flags, const ReadVariable& variable) {
  if (flags.run_dir) from_file = *flags.run_dir;
  return fs::absolute(from_file.empty() ? default_run_dir(variable) : from_file);
}

}  // namespace

Result<std::string> read_run_dir(const Flags& flags, const ReadVariable& variable, const std::string& home) {
  try {
    Settings settings;
    const std::string config = flags.config.value_or(home + "/etc/cppworker.json");
    if (!flags.run_dir && (flags.config || fs::exists(config))) read_file_layer(config, settings);
    return run_dir_of(settings.run_dir, flags, variable);
  } catch (const ConfigError& error) {
    return fail(error.what());
  }
}

Result<Settings> read_settings(const Flags& flags, const ReadVariable& variable, const std::string& home) {
  try {
    Settings settings;
    settings.tls.sign_service = *parse_url("https://console.vast.ai/api/v0/sign_cert");
    std::string config = flags.config.value_or(home + "/etc/cppworker.json");
    if (flags.config || fs::exists(config)) {
      read_file_layer(config, settings);
      settings.origin = "settings with " + config;
    }
    read_environment_layer(variable, settings);
    if (flags.backend) settings.backend = *flags.backend;
    settings.run_dir = run_dir_of(settings.run_dir, flags, variable);
    settings.backend_dirs.insert(settings.backend_dirs.begin(), flags.backend_dirs.begin(),
                                 flags.backend_dirs.end());
    settings.backend_dirs.push_back(home + "/launchers");
    if (!settings.session_port)
      settings.session_port = settings.port == 0 ? 0 : static_cast<std::uint16_t>(settings.port + 1);
    check_together(settings);
    settings.proxy.own_url = settings.public_url;
    settings.proxy.log_level = settings.log_level;
    settings.proxy.ledger = settings.run_dir + "/ledger";
    return settings;
  } catch (const ConfigError& error) {
    return fail(error.what());
  }
}

std::string find_home(const std::string& program) {
  std::error_code ignored;
  for (fs::path folder = fs::path(program).parent_path(); !folder.empty(); folder = folder.parent_path()) {
    if (fs::exists(folder / "launchers" / "toy" / "backend.json", ignored)) return folder;
    if (fs::exists(folder / "share" / "cppworker" / "launchers", ignored))
      return folder / "share" / "cppworker";
    if (folder == folder.root_path()) break;
  }
  return {};
}

}  // namespace cppworker
