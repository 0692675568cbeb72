#include "supervisor/cli_pages.hpp"

#include <algorithm>
#include <cmath>

namespace cppworker {
namespace {

using nlohmann::json;

double seconds(std::chrono::steady_clock::duration duration) {
  return std::chrono::duration<double>(duration).count();
}

json describe(const std::optional<ServiceFailure>& failure, TimePoint now) {
  if (!failure) return nullptr;
  return {{"summary", failure->summary},
          {"exit", failure->exit},
          {"launch", failure->launch},
          {"seconds_ago", seconds(now - failure->at)}};
}

json describe(const Service& service, TimePoint now) {
  return {{"state", name_of(service.state().phase)},
          {"seconds_in_state", seconds(now - service.since())},
          {"last_failure", describe(service.last_failure(), now)},
          {"next", next_step(service, now)}};
}

AdminAnswer json_page(const json& body) {
  return {200, "application/json", text_of(body)};
}

AdminAnswer why_page(const WorkerView& view) {
  const TimePoint now = std::chrono::steady_clock::now();
  const std::vector<std::string> missing = obstacles(view);
  json model = describe(view.model.service(), now);
  model["unwell"] = view.model.unwell();
  model["progress"] = view.model.progress();
  model["seconds_without_progress"] = seconds(view.model.quiet());
  return json_page({{"ready", missing.empty()},
                    {"waiting_for", missing},
                    {"error", view.error_message()},
                    {"model", model},
                    {"proxy", describe(view.proxy.service(), now)}});
}

// At most 200 lines of 4 KiB (log_ring.hpp).
AdminAnswer logs_page(const WorkerView& view) {
  const LogRing& ring = view.model.last_lines();
  return json_page({{"before", ring.appended() - ring.lines().size()}, {"lines", ring.lines()}});
}

std::string in_seconds(const Service& service, TimePoint now) {
  if (!service.due()) return {};
  const double left = std::max(0.0, seconds(*service.due() - now));
  return std::to_string(static_cast<std::int64_t>(std::ceil(left))) + " s";
}

}  // namespace

std::string next_step(const Service& service, TimePoint now) {
  const ServiceState& state = service.state();
  const std::string left = in_seconds(service, now);
  switch (state.phase) {
    case ServicePhase::kDown:
      return state.wanted_up ? "a launch" : "nothing: it isn't wanted now";
    case ServicePhase::kStarting:
      return "ready, or stopped as failed in " + left + " at the latest";
    case ServicePhase::kMeasuring:
      return "ready when the benchmark has ended, or stopped as failed in " + left;
    case ServicePhase::kReady:
      return "nothing: it runs until something happens";
    case ServicePhase::kStopping:
      return state.stop_step + 1 < service.policy().stop.size()
                 ? "its end, or step " + std::to_string(state.stop_step + 2) + " of the stop in " + left
                 : "its end, or SIGKILL in " + left;
    case ServicePhase::kKilling:
      return "its end; SIGKILL once more in " + left;
    case ServicePhase::kSweeping:
      return left.empty() ? "the end of what it left" : "another try at ending what it left, in " + left;
    case ServicePhase::kBackoff:
      return "launch " + std::to_string(state.launches + 1) + ", in " + left;
    case ServicePhase::kGaveUp:
    case ServicePhase::kStuck:
      return "nothing: the worker ends";
  }
  return "?";
}

AdminPages cli_pages(const WorkerView& view) {
  return {{"/status", admin_pages(view).at("/status")},
          {"/why", [&view] { return why_page(view); }},
          {"/logs", [&view] { return logs_page(view); }}};
}

}  // namespace cppworker
