#include "supervisor/reload_plan.hpp"

#include <algorithm>

namespace cppworker {
namespace {

using nlohmann::json;

std::vector<std::string> texts(const std::vector<Url>& urls) {
  std::vector<std::string> made;
  for (const Url& url : urls) made.push_back(url.text());
  return made;
}

const json& member(const json& object, const char* name) {
  static const json kNothing;
  const auto found = object.find(name);
  return found == object.end() ? kNothing : *found;
}

// Members whose values differ, or that one of the two lacks.
std::vector<std::string> changed_members(const json& before, const json& after) {
  std::vector<std::string> names;
  for (const json* side : {&before, &after})
    for (const auto& [name, unused] : side->items())
      if (member(before, name.c_str()) != member(after, name.c_str()) &&
          std::find(names.begin(), names.end(), name) == names.end())
        names.push_back(name);
  return names;
}

void plan_settings(const Settings& present, const Settings& read, ReloadPlan& plan) {
  Settings& next = plan.settings;
  auto live = [&](const char* name, auto Settings::*field) {
    if (present.*field == read.*field) return;
    next.*field = read.*field;
    plan.applied.emplace_back(name);
  };
  live("log_level", &Settings::log_level);
  live("drain_timeout_s", &Settings::drain_timeout_s);
  if (texts(present.report_addresses) != texts(read.report_addresses)) {
    next.report_addresses = read.report_addresses;
    plan.applied.emplace_back("report_addresses");
  }

  auto fixed = [&](const char* name, auto Settings::*field) {
    if (present.*field != read.*field) plan.needs_restart.emplace_back(name);
  };
  fixed("backend", &Settings::backend);
  fixed("backend_dirs", &Settings::backend_dirs);
  fixed("run_dir", &Settings::run_dir);
  fixed("listen_address", &Settings::listen_address);
  fixed("port", &Settings::port);
  fixed("session_port", &Settings::session_port);
  fixed("admin_address", &Settings::admin_address);
  fixed("admin_port", &Settings::admin_port);
  fixed("public_key", &Settings::public_key);
  fixed("public_url", &Settings::public_url);
  fixed("server_url", &Settings::server_url);
  fixed("benchmark", &Settings::benchmark);
  fixed("proxy_failures", &Settings::proxy_failures);
  fixed("log_format", &Settings::log_json);
  fixed("log_child_lines", &Settings::log_child_lines);
  fixed("model_log", &Settings::model_log);
  fixed("logs", &Settings::logs);
  // Where the certificate lies is read at the start; that it has changed is noticed by itself.
  const bool same_tls = present.proxy.tls == read.proxy.tls &&
                        present.tls.certificate == read.tls.certificate && present.tls.key == read.tls.key &&
                        present.tls.sign_service.text() == read.tls.sign_service.text();
  if (!same_tls) plan.needs_restart.emplace_back("tls");

  // What read_settings doesn't know of the proxy's comes from the backend, which is looked at by itself.
  ProxySettings proxy = read.proxy;
  proxy.backend = present.proxy.backend;
  proxy.server_url = present.proxy.server_url;
  proxy.own_url = present.proxy.own_url;
  proxy.ledger = present.proxy.ledger;
  proxy.tls = present.proxy.tls;
  if (encode(proxy) == encode(present.proxy)) return;
  plan.replace_proxy = true;
  const json before = json::parse(encode(present.proxy)), after = json::parse(encode(proxy));
  for (const std::string& name : changed_members(before, after))
    if (name != "log_level") plan.applied.push_back("proxy/" + name);
  next.proxy = proxy;
}

void plan_backend(const json& before, const json& after, ReloadPlan& plan) {
  for (const std::string& name : changed_members(before, after)) {
    if (name == "description" || name == "$schema") continue;
    bool for_proxy = name == "endpoints";
    if (name == "server") {
      // How many requests at once is the proxy's business; where it listens, the model's.
      for (const std::string& inner : changed_members(member(before, "server"), member(after, "server"))) {
        if (inner == "url")
          plan.needs_restart.emplace_back("backend.json: server/url");
        else
          for_proxy = true;
      }
    }
    if (for_proxy) {
      plan.applied.push_back("backend.json: " + name);
      plan.replace_proxy = true;
      plan.document[name] = member(after, name.c_str());
      if (name == "server") plan.document[name]["url"] = member(before, "server").value("url", json());
    } else if (name != "server") {
      plan.needs_restart.push_back("backend.json: " + name);
    }
  }
}

}  // namespace

ReloadPlan plan_reload(const Settings& present, const BackendDefinition& present_backend,
                       const Settings& read, const BackendDefinition& read_backend) {
  ReloadPlan plan;
  plan.settings = present;
  plan.document = present_backend.document;
  plan_settings(present, read, plan);
  plan_backend(present_backend.document, read_backend.document, plan);
  plan.settings.proxy.backend = part_for_proxy(plan.document);
  return plan;
}

}  // namespace cppworker
