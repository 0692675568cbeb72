// cppworker: the worker that runs beside an inference server.
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <optional>
#include <CLI/CLI.hpp>

#include "common/json_log.hpp"
#include "common/logging.hpp"
#include "supervisor/app.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/settings.hpp"

using namespace cppworker;

int main(int argc, char** argv) {
  CLI::App cli("cppworker: launches an inference server, watches it, and stands in front of it");
  cli.set_version_flag("--version", CPPWORKER_VERSION);
  cli.require_subcommand(1);
  Flags flags;
  CLI::App* run = cli.add_subcommand("run", "Run the worker until SIGTERM or SIGINT");
  run->add_option("--backend", flags.backend, "Name of the backend (default: BACKEND, else toy)");
  run->add_option("--backends", flags.backend_dirs, "A further folder of backends; may be repeated");
  run->add_option("--config", flags.config, "Configuration file (default: etc/cppworker.json)");
  run->add_option("--run-dir", flags.run_dir, "Folder of the worker's own files");
  try {
    cli.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return cli.exit(error) == 0 ? kExitClean : kExitConfig;
  }

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
  auto read = [&] { return read_settings(flags, variable, home); };
  Result<Settings> settings = read();
  erase_own_secrets();
  if (!settings) {
    std::fprintf(stderr, "cppworker: %s\n", settings.error().message.c_str());
    return kExitConfig;
  }
  start_logging("cppworker", settings->log_level);
  if (settings->log_json) log_as_json();
  try {
    return run_worker(*settings, read, program.parent_path());
  } catch (const std::exception& error) {
    spdlog::critical("Unexpected: {}", error.what());
    return kExitUnexpected;
  }
}
