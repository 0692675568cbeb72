// What cppworker-proxy needs to know before it starts: written by the supervisor into the run directory, read
// by the proxy. Holds no secret. What changes while it runs comes over the control socket (worker_state.hpp).
#pragma once

#include <cstdint>
#include <string>
#include <nlohmann/json.hpp>

#include "common/result.hpp"

namespace cppworker {

struct ProxySettings {
  // What it serves (launchers/backend_definition.hpp: part_for_proxy). A copy: backend.json may be in the
  // middle of an edit when a proxy that has crashed is started again.
  nlohmann::json backend = nlohmann::json::object();
  std::string server_url;  // the inference server, on loopback
  std::string own_url;     // as reported to the autoscaler; empty: signatures for any URL are accepted
  std::string ledger;      // path of the mapped file
  bool unsecured = false;  // no signature is asked for: local development only
  bool tls = false;        // the public port speaks TLS; its certificate comes over the control socket
  std::string log_level = "info";
  bool access_log = false;  // a line for each request

  // Two, so that one long JSON body being checked doesn't hold up every stream.
  int threads = 2;
  // Images come as base64 inside JSON: two of 20 MB fit.
  std::int64_t max_body_bytes = 64 << 20;
  std::int64_t max_header_bytes = 16 << 10;
  int max_json_depth = 256;
  // As many as a GPU can't serve anyway; each idle one costs a descriptor and some KiB.
  std::int64_t max_connections = 10'000;
  // What one client address may have of them, of max_buffered_bytes and of max_sessions. Half, since many
  // clients may come from one address, and so that a second one finds room. 0: as much as there is.
  int address_share_percent = 50;
  // Requests that wait for a server which executes one at a time.
  std::int64_t max_queue = 100;
  int first_byte_timeout_s = 3600;
  int between_bytes_timeout_s = 600;
  // Without data on a WebSocket, once its server has spoken.
  int websocket_idle_timeout_s = 60;
  // What runs longer than this in all is stuck, though bytes trickle.
  int whole_timeout_s = 6 * 3600;
  // How long an accepted request waits for the inference server to be back: the load of a large model. 0:
  // not.
  int hold_timeout_s = 300;
  // Sessions that are open at once: each may hold a place at the inference server.
  int max_sessions = 10;
  // All bodies that are with the proxy at once: eight of the largest that are allowed.
  std::int64_t max_buffered_bytes = std::int64_t{512} << 20;
  // Whom the proxy runs as when root starts it.
  std::string user = "nobody";
};

std::string encode(const ProxySettings& settings);
Result<ProxySettings> load_proxy_settings(const std::string& path);

}  // namespace cppworker
