// cppworker: the worker that runs beside an inference server.
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <CLI/CLI.hpp>

#include "common/json_log.hpp"
#include "common/large_blocks.hpp"
#include "common/logging.hpp"
#include "supervisor/app.hpp"
#include "supervisor/cli_client.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/log_ring.hpp"
#include "supervisor/settings.hpp"

using namespace cppworker;

namespace {

// Texts of /proc, documents for the autoscaler, post-mortems: rare, and larger than all it works with.
constexpr int kLargeBlock = 128 << 10;

}  // namespace

int main(int argc, char** argv) {
  CLI::App cli("cppworker: launches an inference server, watches it, and stands in front of it");
  cli.set_version_flag("--version", CPPWORKER_VERSION);
  cli.require_subcommand(1);
  Flags flags;
  CLI::App* run = cli.add_subcommand("run", "Run the worker until SIGTERM or SIGINT");
  run->add_option("--backend", flags.backend, "Name of the backend (default: BACKEND, else toy)");
  run->add_option("--backends", flags.backend_dirs, "A further folder of backends; may be repeated");
  CLI::App* status = cli.add_subcommand("status", "Show how the worker fares that runs here");
  CLI::App* logs = cli.add_subcommand("logs", "Show the inference server's last lines");
  CLI::App* why =
      cli.add_subcommand("why", "Say why it isn't ready, how it failed last, and what comes next");
  for (CLI::App* command : {run, status, logs, why}) {
    command->add_option("--config", flags.config, "Configuration file (default: etc/cppworker.json)");
    command->add_option("--run-dir", flags.run_dir, "Folder of the worker's own files");
  }
  bool as_json = false, follow = false;
  std::size_t lines = LogRing::kLines;
  for (CLI::App* command : {status, why}) command->add_flag("--json", as_json, "As JSON");
  logs->add_option("-n", lines, "How many lines (default and most: 200)");
  logs->add_flag("-f", follow, "Go on with those that come");
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? kExitClean : kExitConfig;
  }

  give_large_blocks_back(kLargeBlock);
  std::error_code ignored;
  std::filesystem::path program = std::filesystem::read_symlink("/proc/self/exe", ignored);
  std::string home = find_home(program);
  // A process's environment doesn't change: a reload reads what was read at the start, secrets included,
  // which are gone from there by then.
  std::map<std::string, std::optional<std::string>> variables;
  auto variable = [&variables](const char* name) -> std::optional<std::string> {
    const auto known = variables.find(name);
    if (known != variables.end()) return known->second;
    const char* value = std::getenv(name);
    return variables[name] = value ? std::optional<std::string>(value) : std::nullopt;
  };
  if (!run->parsed()) {
    const Result<std::string> run_dir = read_run_dir(flags, variable, home);
    if (!run_dir) {
      std::fprintf(stderr, "cppworker: %s\n", run_dir.error().message.c_str());
      return kExitConfig;
    }
    if (status->parsed()) return show_status(*run_dir, as_json);
    return why->parsed() ? show_why(*run_dir, as_json) : show_logs(*run_dir, lines, follow);
  }
  auto read = [&] { return read_settings(flags, variable, home); };
  Result<Settings> settings = read();
  erase_own_secrets();
  if (!settings) {
    std::fprintf(stderr, "cppworker: %s\n", settings.error().message.c_str());
    return kExitConfig;
  }
  std::signal(SIGPIPE, SIG_IGN);  // whoever reads the log, or an answer, may go away
  start_logging("cppworker", settings->log_level);
  if (settings->log_json) log_as_json();
  try {
    return run_worker(*settings, read, program.parent_path());
  } catch (const std::exception& error) {
    spdlog::critical("Unexpected: {}", error.what());
    return kExitUnexpected;
  }
}
