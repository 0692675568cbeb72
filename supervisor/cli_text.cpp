#include "supervisor/cli_text.hpp"

#include <algorithm>
#include <ctime>

#include "common/logging.hpp"
#include "supervisor/log_ring.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

// Errors carry paths and a server's words; the longest that we make have some hundred bytes.
constexpr std::size_t kLongestText = 1000;
constexpr std::size_t kLabelWidth = 16;

const json& member(const json& object, const char* name) {
  static const json kAbsent;
  const auto found = object.find(name);
  return object.is_object() && found != object.end() ? *found : kAbsent;
}

std::string text(const json& value) {
  if (value.is_null()) return "?";
  return printable(value.is_string() ? value.get<std::string>()
                                     : value.dump(-1, ' ', false, json::error_handler_t::replace),
                   kLongestText);
}

bool says_something(const json& value) {
  return value.is_string() && !value.get_ref<const std::string&>().empty();
}

double number(const json& value) {
  return value.is_number() ? value.get<double>() : 0;
}

std::string line(std::string label, const std::string& content) {
  label.resize(std::max(label.size() + 1, kLabelWidth), ' ');
  return label + content + "\n";
}

std::string list(const json& values) {
  std::string all;
  for (const json& value : values) all += (all.empty() ? "" : "; ") + text(value);
  return all;
}

std::string service_line(const json& service) {
  std::string made =
      text(member(service, "state")) + " for " + duration_text(number(member(service, "seconds_in_state")));
  if (number(member(service, "pid")) > 0) made += ", process " + text(member(service, "pid"));
  made += ", launch " + text(member(service, "launches"));
  for (const auto& [cause, count] : member(service, "failures").items())
    made += ", failed " + text(count) + "x: " + printable(cause);
  return made;
}

std::string health_line(const json& model) {
  if (says_something(member(model, "unwell"))) return "unwell: " + text(member(model, "unwell"));
  return member(model, "state") == "ready" ? "well" : "asked when it is ready";
}

std::string loading_line(const json& loading) {
  return text(member(loading, "phase")) + ", " + duration_text(number(member(loading, "seconds"))) +
         " so far, nothing has moved for " +
         duration_text(number(member(loading, "seconds_without_progress")));
}

std::string key_line(const json& status) {
  const json& keys = member(status, "public_keys");
  if (number(keys) > 0) return text(keys) + " held";
  return member(status, "unsecured") == true ? "none: no signature is asked for" : "none yet";
}

std::string report_line(const json& reports) {
  if (reports.is_null()) return "stand-alone: nothing is reported";
  const std::string got = text(member(reports, "acknowledged")) + " reports got through";
  return says_something(member(reports, "last_error"))
             ? got + ", and now they don't: " + text(member(reports, "last_error"))
             : got;
}

std::string certificate_line(const json& tls) {
  if (tls.is_null()) return "TLS isn't served";
  const json& until = member(tls, "valid_until");
  if (until.is_null()) return "none: " + text(member(tls, "last_error"));
  const double left = number(until) - static_cast<double>(std::time(nullptr));
  return left > 0 ? "good for " + duration_text(left) : "expired";
}

std::string requests_line(const json& books) {
  const auto count = [&](const char* name) { return text(member(member(books, name), "requests")); };
  return count("in_flight") + " in flight; " + count("received") + " received, " + count("served") +
         " served, " + count("errored") + " errored, " + count("cancelled") + " cancelled, " +
         count("rejected") + " rejected";
}

std::string why_lines(const char* name, const json& service) {
  std::string made = line(name, text(member(service, "state")) + " for " +
                                    duration_text(number(member(service, "seconds_in_state"))));
  if (says_something(member(service, "unwell"))) made += line("  unwell", text(member(service, "unwell")));
  if (member(service, "state") == "starting")
    made += line("  progress", text(member(service, "progress")) + "; nothing has moved for " +
                                   duration_text(number(member(service, "seconds_without_progress"))));
  if (const json& failure = member(service, "last_failure"); failure.is_object()) {
    made += line("  last failure", text(member(failure, "summary")));
    made +=
        line("  ", duration_text(number(member(failure, "seconds_ago"))) + " ago, launch " +
                       text(member(failure, "launch")) +
                       (says_something(member(failure, "exit")) ? ", " + text(member(failure, "exit")) : ""));
  }
  return made + line("  next", text(member(service, "next")));
}

}  // namespace

std::string duration_text(double seconds) {
  const auto whole = static_cast<std::int64_t>(std::max(0.0, seconds));
  const auto two = [](std::int64_t big, const char* unit, std::int64_t small, const char* small_unit) {
    std::string made = std::to_string(big) + unit;
    return small == 0 ? made : made + " " + std::to_string(small) + small_unit;
  };
  if (whole < 60) return std::to_string(whole) + " s";
  if (whole < 3600) return two(whole / 60, " min", whole % 60, " s");
  if (whole < 86400) return two(whole / 3600, " h", whole % 3600 / 60, " min");
  return two(whole / 86400, " d", whole % 86400 / 3600, " h");
}

std::string status_text(const json& status) {
  const json& model = member(status, "model");
  std::string made = "cppworker " + text(member(status, "version")) + " (process " +
                     text(member(status, "pid")) + "), backend " + text(member(status, "backend")) + ": " +
                     (member(status, "ready") == true ? "ready" : "not ready") + ", up " +
                     duration_text(number(member(status, "uptime_seconds"))) + "\n";
  if (const std::string missing = list(member(status, "waiting_for")); !missing.empty())
    made += line("waiting for", missing);
  if (says_something(member(status, "error"))) made += line("error", text(member(status, "error")));
  if (says_something(member(status, "url"))) made += line("url", text(member(status, "url")));
  made += line("model", service_line(model));
  if (const json& loading = member(model, "loading"); loading.is_object())
    made += line("  loading", loading_line(loading));
  made += line("  health", health_line(model));
  made += line("  max_perf", text(member(model, "max_perf")) + " work units/s");
  if (says_something(member(model, "benchmark_error")))
    made += line("  benchmark", text(member(model, "benchmark_error")));
  made += line("proxy", service_line(member(status, "proxy")));
  if (number(member(member(status, "proxy"), "retiring")) > 0)
    made +=
        line("  retiring", text(member(member(status, "proxy"), "retiring")) + " that finish what they have");
  made += line("requests", requests_line(member(status, "books")));
  made += line("public key", key_line(status));
  made += line("certificate", certificate_line(member(status, "tls")));
  return made + line("autoscaler", report_line(member(status, "reports")));
}

std::string why_text(const json& why) {
  std::string made = member(why, "ready") == true ? "ready: requests are served\n" : "not ready\n";
  for (const json& missing : member(why, "waiting_for")) made += line("  missing", text(missing));
  if (says_something(member(why, "error"))) made += line("  error", text(member(why, "error")));
  return made + why_lines("model", member(why, "model")) + why_lines("proxy", member(why, "proxy"));
}

std::string log_text(const json& logs, std::uint64_t& next, std::size_t most) {
  const json& lines = member(logs, "lines");
  const auto before = static_cast<std::uint64_t>(number(member(logs, "before")));
  const std::uint64_t end = before + lines.size();
  // Another worker, which has counted from 0 again.
  if (end < next) next = 0;
  std::string made;
  if (next > 0 && next < before)
    made += "... " + std::to_string(before - next) + " lines left out; logs/model.log has them\n";
  std::uint64_t at = std::max(next, before);
  if (end - at > most) at = end - most;
  for (; at < end; ++at) {
    std::string one = lines[at - before].is_string() ? lines[at - before].get<std::string>() : "?";
    std::replace(one.begin(), one.end(), '\t', ' ');
    made += printable(one, 2 * LogRing::kLongestLine) + "\n";
  }
  next = end;
  return made;
}

}  // namespace cppworker
