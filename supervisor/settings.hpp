// All that `cppworker run` can be told, in layers: defaults, the configuration file, the environment
// (protocol section 6), flags. Nothing else reads the environment.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "common/proxy_settings.hpp"
#include "common/result.hpp"
#include "common/url.hpp"
#include "supervisor/log_file.hpp"

namespace cppworker {

// TLS on the public port (protocol section 6); whether it is served stands in ProxySettings.
struct TlsSettings {
  std::string certificate = "/etc/instance.crt";  // PEM, with its chain
  std::string key = "/etc/instance.key";
  Url sign_service;  // makes the certificate where there is none of use; needs container_id
};

struct Settings {
  // What an error names that only several settings together can have: also the file, where one was read.
  std::string origin = "settings";
  std::string backend = "toy";            // the embedded default needs no GPU
  std::vector<std::string> backend_dirs;  // where backends' folders lie; searched in order
  std::string run_dir;
  std::string log_level = "info";
  bool log_json = false;         // our own log as JSON lines
  bool log_child_lines = false;  // the inference server's lines in it; prompts may be among them

  std::string listen_address = "0.0.0.0";
  std::uint16_t port = 3000;  // 0: any free one, for tests
  // Plain HTTP on loopback, for the inference server to end sessions; absent: the port after `port`.
  std::optional<std::uint16_t> session_port;
  std::string admin_address = "127.0.0.1";
  std::uint16_t admin_port = 3002;  // 3001 is the session port

  std::optional<std::int64_t> container_id;  // absent: stand-alone, no reports
  std::string master_token;                  // secret: in no log, in no child
  std::vector<Url> report_addresses;
  std::string public_key;                  // PEM file or URL, for a stand-alone worker
  std::string public_url;                  // as the autoscaler gives it to clients
  std::optional<std::string> server_url;   // instead of the backend's own
  std::optional<std::string> health_path;  // MODEL_HEALTH_ENDPOINT
  std::optional<std::string> model_log;    // MODEL_LOG: a log that the inference server writes itself
  LogFileLimits logs;                      // of the file with what the inference server prints
  bool benchmark = true;                   // false: max_perf stays 0

  // Requests in flight may end; beyond this they are cut. A rented instance is gone soon after its SIGTERM.
  int drain_timeout_s = 30;
  // So many of the proxy within ten minutes end the worker: nobody is being served any more.
  int proxy_failures = 30;

  TlsSettings tls;

  ProxySettings proxy;  // the part that the proxy is given; completed when the backend is known
};

struct Flags {
  std::optional<std::string> backend, config, run_dir;
  std::vector<std::string> backend_dirs;
};

using ReadVariable = std::function<std::optional<std::string>(const char* name)>;

// A bad setting is one line: file and pointer, or the variable's name; what was expected; what helps. `home`
// is the folder that has launchers/ and etc/.
Result<Settings> read_settings(const Flags& flags, const ReadVariable& variable, const std::string& home);

// The run directory alone, from the same layers: whoever asks a running worker needs no more, and may lack
// what only the worker has.
Result<std::string> read_run_dir(const Flags& flags, const ReadVariable& variable, const std::string& home);

// Walks up from the program's own folder to the one that has launchers/ (a source tree), or whose
// share/cppworker has it (an installation). Empty when there is none.
std::string find_home(const std::string& program);

}  // namespace cppworker
