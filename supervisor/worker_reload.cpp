#include "supervisor/worker_reload.hpp"

#include "common/logging.hpp"
#include "supervisor/reload_plan.hpp"
#include "supervisor/start_check.hpp"

namespace cppworker {
namespace {

// It is the proxy that lets so many in, and the watch over the model that goes by it.
void set_concurrency(WorkerParts& parts, int most) {
  parts.backend.max_concurrency = most;
  parts.model->set_concurrency(most);
}

// On an error the settings of before are in their place again, as they are when the new proxy fails later:
// the file is what a proxy that crashes next year is started with.
Result<void> replace_proxy(WorkerParts& parts, const ProxySettings& settings) {
  auto go_back = [&parts, before = parts.settings.proxy, document = parts.backend.document,
                  concurrency = parts.backend.max_concurrency] {
    parts.settings.proxy = before;
    parts.backend.document = document;
    set_concurrency(parts, concurrency);
    if (Result<void> written = write_proxy_settings(parts); !written)
      spdlog::error("{}", written.error().message);
  };
  parts.settings.proxy = settings;
  Result<void> begun = write_proxy_settings(parts);
  if (begun) begun = parts.proxy->replace(go_back);
  if (!begun) go_back();
  return begun;
}

void log_what_changed(const ReloadPlan& plan) {
  for (const std::string& name : plan.applied) spdlog::info("Reload: {} has changed", name);
  for (const std::string& name : plan.needs_restart)
    spdlog::warn("Reload: {} has changed; that needs a restart of the worker", name);
  if (plan.applied.empty() && plan.needs_restart.empty()) spdlog::info("Reload: nothing has changed");
}

}  // namespace

bool reload(WorkerParts& parts, const ReadSettings& read_settings) {
  const auto refuse = [](const Error& error) {
    spdlog::error("Cannot reload: {}; nothing has changed", error.message);
    return true;
  };
  const auto wait = [](const std::string& why) {
    spdlog::info("Reload: waits, as {}", why);
    return false;
  };
  // What this one changes comes when that one has taken over, or failed.
  if (parts.proxy->replacing()) return wait(parts.proxy->hindrance());
  Result<Settings> read = read_settings();
  if (!read) return refuse(read.error());
  Result<BackendDefinition> backend = load_backend(parts.backend.folder);
  if (!backend) return refuse(backend.error());
  if (Result<void> checked = check_reloaded_ports(parts.settings, parts.backend, *read, *backend); !checked)
    return refuse(checked.error());
  ReloadPlan plan = plan_reload(parts.settings, parts.backend, *read, *backend);
  if (plan.replace_proxy) {
    if (const std::string why = parts.proxy->hindrance(); !why.empty()) return wait(why);
    if (Result<void> begun = replace_proxy(parts, plan.settings.proxy); !begun) return refuse(begun.error());
  }
  parts.settings = std::move(plan.settings);
  parts.backend.document = std::move(plan.document);
  set_concurrency(parts, backend->max_concurrency);
  spdlog::set_level(spdlog::level::from_str(parts.settings.log_level));
  parts.client.use(parts.settings.report_addresses);
  log_what_changed(plan);
  return true;
}

}  // namespace cppworker
