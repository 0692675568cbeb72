// The program's own log as JSON: one object a line, for collectors that don't parse text.
//
//   {"time":"2026-01-02T03:04:05.678Z","level":"info","program":"cppworker","message":"…"}
//
// Always valid UTF-8, and one line whatever the message holds.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <spdlog/formatter.h>

namespace cppworker {

// From here on; after start_logging.
void log_as_json();

std::unique_ptr<spdlog::formatter> make_json_formatter();

// As in "time" above.
std::string utc_time(std::chrono::system_clock::time_point time);

}  // namespace cppworker
