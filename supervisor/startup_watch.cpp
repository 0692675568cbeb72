#include "supervisor/startup_watch.hpp"

#include <algorithm>
#include <functional>
#include <spdlog/fmt/fmt.h>

namespace cppworker {
namespace {

std::size_t digest_without_numbers(std::string_view line) {
  std::string text;
  std::copy_if(line.begin(), line.end(), std::back_inserter(text), [](char c) { return c < '0' || c > '9'; });
  return std::hash<std::string>()(text);
}

template <class Number>
Number growth(Number before, Number after) {
  return after > before ? after - before : Number{0};
}

}  // namespace

ActivityRates rates_between(const TreeActivity& before, const TreeActivity& after, double seconds) {
  ActivityRates rates;
  if (!(seconds > 0)) return rates;
  // Process by process: the sum shrinks when a downloader ends.
  for (const auto& [key, now] : after.processes) {
    const auto then = before.processes.find(key);
    const TreeActivity::Process base =
        then == before.processes.end() ? TreeActivity::Process{} : then->second;
    rates.bytes += static_cast<double>(growth(base.bytes, now.bytes)) / seconds;
    rates.cpu += growth(base.cpu_seconds, now.cpu_seconds) / seconds;
  }
  for (const auto& [connection, now] : after.received_bytes) {
    const auto then = before.received_bytes.find(connection);
    const bool is_new = then == before.received_bytes.end();
    // Nobody knows since when interfaces count.
    if (is_new && connection == TreeActivity::kAllInterfaces) continue;
    rates.received_bytes += static_cast<double>(growth(is_new ? 0 : then->second, now)) / seconds;
  }
  return rates;
}

void StartupWatch::launched(TimePoint now) {
  moved_at_ = now;
  has_measured_ = false;
  rates_ = {};
  seen_.clear();
}

void StartupWatch::saw_line(std::string_view line, TimePoint now) {
  const std::size_t digest = digest_without_numbers(line);
  if (std::find(seen_.begin(), seen_.end(), digest) != seen_.end()) return;
  if (seen_.size() == kRememberedLines) seen_.pop_front();
  seen_.push_back(digest);
  moved_at_ = now;
}

void StartupWatch::measured(TreeActivity activity, TimePoint now) {
  if (has_measured_) {
    rates_ = rates_between(last_, activity, std::chrono::duration<double>(now - measured_at_).count());
    const bool moves =
        rates_.bytes >= kLeastBytes || rates_.received_bytes >= kLeastReceived || rates_.cpu >= kLeastCpu;
    if (moves) moved_at_ = now;
  }
  has_measured_ = true;
  last_ = std::move(activity);
  measured_at_ = now;
}

std::string StartupWatch::explain(TimePoint now) const {
  return fmt::format(
      "in {} s no new log line, and of late {:.0f} bytes/s read or written, {:.0f} bytes/s received, {:.0f} "
      "% "
      "of a CPU",
      std::chrono::duration_cast<std::chrono::seconds>(now - moved_at_).count(), rates_.bytes,
      rates_.received_bytes, rates_.cpu * 100);
}

}  // namespace cppworker
