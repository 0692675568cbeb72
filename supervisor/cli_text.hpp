// The answers of cli_pages.hpp as text for a terminal.
//
// Pure. What others wrote (log lines, errors) can't move the cursor; a member that is missing, as when the
// worker is of another version, shows as "?".
#pragma once

#include <cstdint>
#include <string>
#include <nlohmann/json.hpp>

namespace cppworker {

std::string status_text(const nlohmann::json& status);
std::string why_text(const nlohmann::json& why);

// The lines of /logs from number `next` on (0: the first there ever was), at most the last `most`; moves
// `next` behind them. Says how many were lost in between where `next` isn't the first question.
std::string log_text(const nlohmann::json& logs, std::uint64_t& next, std::size_t most);

std::string duration_text(double seconds);  // "12 s", "3 min 5 s", "2 h 4 min", "3 d 1 h"

}  // namespace cppworker
