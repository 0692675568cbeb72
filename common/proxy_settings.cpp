#include "common/proxy_settings.hpp"

#include "common/json_reader.hpp"

namespace cppworker {
namespace {

// One list of the members for both directions: what is written is what is read.
template <class Visitor>
void visit(Visitor&& member, auto& settings) {
  member("backend", settings.backend);
  member("server_url", settings.server_url);
  member("own_url", settings.own_url);
  member("ledger", settings.ledger);
  member("unsecured", settings.unsecured);
  member("tls", settings.tls);
  member("log_level", settings.log_level);
  member("access_log", settings.access_log);
  member("threads", settings.threads);
  member("max_body_bytes", settings.max_body_bytes);
  member("max_header_bytes", settings.max_header_bytes);
  member("max_json_depth", settings.max_json_depth);
  member("max_connections", settings.max_connections);
  member("address_share_percent", settings.address_share_percent);
  member("max_queue", settings.max_queue);
  member("first_byte_timeout_s", settings.first_byte_timeout_s);
  member("between_bytes_timeout_s", settings.between_bytes_timeout_s);
  member("websocket_idle_timeout_s", settings.websocket_idle_timeout_s);
  member("whole_timeout_s", settings.whole_timeout_s);
  member("hold_timeout_s", settings.hold_timeout_s);
  member("max_sessions", settings.max_sessions);
  member("max_buffered_bytes", settings.max_buffered_bytes);
  member("user", settings.user);
}

}  // namespace

std::string encode(const ProxySettings& settings) {
  nlohmann::json out = nlohmann::json::object();
  visit([&](const char* key, const auto& value) { out[key] = value; }, settings);
  return out.dump() + "\n";  // no blanks: with a large backend it still is below what load_config reads
}

Result<ProxySettings> load_proxy_settings(const std::string& path) {
  try {
    nlohmann::json json = load_config(path);
    ConfigObject object(ConfigValue(json, path, ""));
    ProxySettings settings;
    visit(
        [&](const char* key, auto& value) {
          // Machine-made: types are checked, ranges were by the supervisor.
          ConfigValue found = object.required(key);
          try {
            found.json().get_to(value);
          } catch (const nlohmann::json::exception&) {
            found.refuse("has the wrong type");
          }
        },
        settings);
    object.finish();
    return settings;
  } catch (const ConfigError& error) {
    return fail(error.what());
  }
}

}  // namespace cppworker
