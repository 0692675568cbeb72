// cppworker-proxy: the signing-aware proxy on the public port. Started by cppworker, with its sockets.
#include <csignal>
#include <CLI/CLI.hpp>

#include "common/json_log.hpp"
#include "common/logging.hpp"
#include "proxy/app.hpp"

using namespace cppworker;

int main(int argc, char** argv) {
  CLI::App cli("cppworker-proxy: started by cppworker, not by hand");
  cli.set_version_flag("--version", CPPWORKER_VERSION);
  std::string settings_file;
  std::uint64_t owner = 0;
  cli.add_option("--settings", settings_file, "What the supervisor wrote for it")->required();
  cli.add_option("--owner", owner, "Mark of this process's entries in the ledger; not 0")->required();
  bool json_log = false;  // not among the settings: it also says why those can't be read
  cli.add_flag("--json-log", json_log, "Log as JSON, one object a line");
  CLI11_PARSE(cli, argc, argv);

  // It shares its standard error with the supervisor: whoever read that may be gone. (The sockets' writes ask
  // for no signal by themselves.)
  std::signal(SIGPIPE, SIG_IGN);
  Result<ProxySettings> settings = load_proxy_settings(settings_file);
  start_logging("cppworker-proxy", settings ? settings->log_level : "info");
  if (json_log) log_as_json();
  if (!settings) {
    spdlog::critical("{}", settings.error().message);
    return 64;
  }
  return run_proxy(*settings, owner);
}
