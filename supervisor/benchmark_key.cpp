#include "supervisor/benchmark_key.hpp"

#include <openssl/sha.h>

#include <algorithm>
#include <array>
#include <filesystem>

#include "common/text.hpp"

namespace cppworker {
namespace {

// Scripts and the driver's texts have a few KiB.
constexpr std::size_t kLargestFile = 1 << 20;
// 64 bits tell chance apart; nobody gains by forging his own benchmark.
constexpr std::size_t kShownBytes = 8;

std::string digest(std::string_view text) {
  std::array<unsigned char, SHA256_DIGEST_LENGTH> sum{};
  ::SHA256(reinterpret_cast<const unsigned char*>(text.data()), text.size(), sum.data());
  std::string shown;
  for (std::size_t i = 0; i < kShownBytes; ++i) {
    shown += "0123456789abcdef"[sum[i] >> 4];
    shown += "0123456789abcdef"[sum[i] & 15];
  }
  return shown;
}

// They change from one start to the next, or from one instance to its twin, and the speed doesn't.
constexpr std::string_view kIrrelevant[] = {
    // the instance and its place in the world
    "HOSTNAME", "CONTAINER_ID", "PUBLIC_IPADDR", "VAST_*", "DIRECT_PORT_*", "GPU_COUNT", "KUBERNETES_*",
    "RUNPOD_*", "SSH_*", "JUPYTER_*", "DATA_DIRECTORY", "OPEN_BUTTON_*", "PORTAL_CONFIG",
    // the worker's own
    "BACKEND", "REPORT_ADDR", "WORKER_PORT", "WORKER_HTTP_PORT", "AUTH_PORT", "USE_SSL", "UNSECURED",
    "MODEL_LOG", "MODEL_HEALTH_ENDPOINT", "SERVER_PORT", "PORT", "CPPWORKER_*",
    // the shell, the session and the service manager
    "_", "PWD", "OLDPWD", "SHLVL", "TERM", "COLORTERM", "HOME", "USER", "LOGNAME", "SHELL", "MAIL", "EDITOR",
    "PAGER", "LANG", "LANGUAGE", "LC_*", "TZ", "HISTFILE", "LS_COLORS", "DEBIAN_FRONTEND", "XDG_*", "DBUS_*",
    "TMUX*", "INVOCATION_ID", "JOURNAL_STREAM", "NOTIFY_SOCKET", "WATCHDOG_*", "LISTEN_*", "SYSTEMD_*",
    "MEMORY_PRESSURE_*"};

std::string variables_text(const BackendDefinition& backend, Environment environment) {
  std::sort(environment.begin(), environment.end());
  std::string text;
  for (const std::string& variable : environment)
    if (decides_speed(std::string_view(variable).substr(0, variable.find('=')), backend))
      text += variable + '\n';
  return text;
}

std::string benchmark_text(const BackendDefinition& backend) {
  const BenchmarkDefinition& benchmark = *backend.benchmark;
  const EndpointDefinition* endpoint = backend.find_endpoint("POST", benchmark.endpoint);
  return backend.name + '\n' + benchmark.endpoint + '\n' + benchmark.payload.dump() + '\n' +
         std::to_string(benchmark.runs) + 'x' + std::to_string(benchmark.concurrency) + '\n' +
         (endpoint == nullptr ? "" : endpoint->workload.formula());
}

// Model and UUID of each; interrupt numbers and the like change with each boot.
std::string gpus_text(const std::string& nvidia_folder) {
  std::vector<std::string> lines;
  std::error_code error;
  std::filesystem::directory_iterator entry(nvidia_folder + "/gpus", error), end;
  for (; !error && entry != end; entry.increment(error)) {
    std::string information = read_file(entry->path() / "information", kLargestFile).value_or("");
    for (const std::string& line : split_list(information, '\n'))
      if (line.starts_with("Model:") || line.starts_with("GPU UUID:")) lines.push_back(line);
  }
  std::sort(lines.begin(), lines.end());  // their order in the folder says nothing
  std::string text = read_file(nvidia_folder + "/version", kLargestFile).value_or("");
  for (const std::string& line : lines) text += line + '\n';
  return text;
}

}  // namespace

bool decides_speed(std::string_view name, const BackendDefinition& backend) {
  if (!backend.launch_variables.empty()) return matches_any(name, backend.launch_variables);
  // Credentials are renewed without any effect on the speed, and have no place in a file.
  return !matches_any(name, kIrrelevant) && !looks_secret(name);
}

std::string benchmark_key(const BackendDefinition& backend, const Environment& environment,
                          const std::string& nvidia_folder) {
  return "benchmark " + digest(benchmark_text(backend)) + " script " +
         digest(read_file(backend.launch_script, kLargestFile).value_or("")) + " variables " +
         digest(variables_text(backend, environment)) + " gpus " + digest(gpus_text(nvidia_folder));
}

}  // namespace cppworker
