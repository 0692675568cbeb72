// What a line of a server's log says, by the backend's patterns: ready, can't go on, progress, a figure, the
// phase of loading.
//
// Patterns are RE2 (linear time: a hostile line can't stop the loop), unanchored, over the line without
// terminal colours. One automaton decides for all of them at once; almost every line matches none.
#pragma once

#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/result.hpp"
#include "launchers/watch_definition.hpp"

namespace cppworker {

struct LogPatterns {
  using Capture = LogDefinition::Capture;
  std::vector<std::string> ready{};
  std::vector<std::string> fatal{};
  std::vector<std::string> fatal_after_ready{};
  std::vector<std::string> info{};
  std::vector<LogDefinition::Phase> phases{};
  std::vector<Capture> captures{};
};

// What one line said. Ready lines repeat over a server's life: a level, never an edge.
struct LogEvents {
  bool ready = false;
  bool fatal = false;
  bool info = false;
  // The pattern, as long as the matcher lives; empty when none matched. The line itself may be a prompt's.
  std::string_view fatal_after_ready{};
  std::optional<LoadPhase> phase{};                      // the last one in the definition's order, of several
  std::vector<std::pair<std::string, double>> captures;  // {metric, value}

  bool any() const {
    return ready || fatal || info || !fatal_after_ready.empty() || phase || !captures.empty();
  }
};

class LogMatcher {
 public:
  // "cannot use the ready pattern "(": missing )": the pattern and what is wrong with it.
  static Result<LogMatcher> compile(const LogPatterns& patterns);

  LogMatcher(LogMatcher&&) noexcept;
  LogMatcher& operator=(LogMatcher&&) noexcept;
  ~LogMatcher();

  // `line` as LineSplitter hands it over.
  LogEvents match(std::string_view line) const;

  bool has_ready_pattern() const;

 private:
  struct Compiled;
  explicit LogMatcher(std::unique_ptr<Compiled> compiled);
  std::unique_ptr<Compiled> compiled_;
};

}  // namespace cppworker
