#include "common/json_log.hpp"

#include <spdlog/spdlog.h>

#include <chrono>
#include <ctime>
#include <string>
#include <nlohmann/json.hpp>

namespace cppworker {
namespace {

std::string text(spdlog::string_view_t view) {
  return std::string(view.data(), view.size());
}

class JsonFormatter : public spdlog::formatter {
 public:
  void format(const spdlog::details::log_msg& message, spdlog::memory_buf_t& into) override {
    const nlohmann::ordered_json line = {{"time", utc_time(message.time)},
                                         {"level", text(spdlog::level::to_string_view(message.level))},
                                         {"program", text(message.logger_name)},
                                         {"message", text(message.payload)}};
    // A byte that is no UTF-8 costs its character, not the line.
    const std::string written =
        line.dump(-1, ' ', false, nlohmann::ordered_json::error_handler_t::replace) + "\n";
    into.append(written.data(), written.data() + written.size());
  }
  std::unique_ptr<spdlog::formatter> clone() const override { return std::make_unique<JsonFormatter>(); }
};

}  // namespace

std::string utc_time(std::chrono::system_clock::time_point time) {
  const std::time_t seconds = std::chrono::system_clock::to_time_t(time);
  const auto millis =
      std::chrono::duration_cast<std::chrono::milliseconds>(time.time_since_epoch()).count() % 1000;
  std::tm parts{};
  ::gmtime_r(&seconds, &parts);
  return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", parts.tm_year + 1900, parts.tm_mon + 1,
                     parts.tm_mday, parts.tm_hour, parts.tm_min, parts.tm_sec, millis);
}

std::unique_ptr<spdlog::formatter> make_json_formatter() {
  return std::make_unique<JsonFormatter>();
}

void log_as_json() {
  spdlog::default_logger()->set_formatter(make_json_formatter());
}

}  // namespace cppworker
