#include "supervisor/log_matcher.hpp"

#include <re2/re2.h>
#include <re2/set.h>

#include <charconv>
#include <cmath>

#include "supervisor/line_splitter.hpp"

namespace cppworker {
namespace {

enum class Meaning { kReady, kFatal, kFatalAfterReady, kInfo, kPhase, kCapture };

struct Pattern {
  Meaning meaning;
  std::unique_ptr<RE2> regex;
  std::string metric;                    // kCapture
  LoadPhase phase = LoadPhase::kLaunch;  // kPhase
};

RE2::Options pattern_options() {
  RE2::Options options(RE2::Quiet);
  // Lines may hold a NUL or a stray newline of an escape sequence; "." is meant to pass both.
  options.set_dot_nl(true);
  return options;
}

re2::StringPiece piece(std::string_view text) {
  return re2::StringPiece(text.data(), text.size());
}

}  // namespace

struct LogMatcher::Compiled {
  std::vector<Pattern> patterns;  // in the order of the set's indices
  RE2::Set set{pattern_options(), RE2::UNANCHORED};
  bool has_ready = false;

  Result<bool> add(Meaning meaning, std::string_view name, const std::string& text, std::string metric = {},
                   LoadPhase phase = LoadPhase::kLaunch) {
    const auto refuse = [&](const std::string& problem) {
      return fail("cannot use the " + std::string(name) + " pattern \"" + text + "\": " + problem);
    };
    auto regex = std::make_unique<RE2>(text, pattern_options());
    if (!regex->ok()) return refuse(regex->error());
    if (meaning == Meaning::kCapture && regex->NumberOfCapturingGroups() < 1)
      return refuse("it needs a group around the number, such as (\\d+)");
    std::string problem;
    if (set.Add(text, &problem) < 0) return refuse(problem);
    patterns.push_back({meaning, std::move(regex), std::move(metric), phase});
    return true;
  }

  void apply(const Pattern& pattern, std::string_view line, LogEvents& events) const {
    switch (pattern.meaning) {
      case Meaning::kReady:
        events.ready = true;
        break;
      case Meaning::kFatal:
        events.fatal = true;
        break;
      case Meaning::kFatalAfterReady:
        events.fatal_after_ready = pattern.regex->pattern();
        break;
      case Meaning::kInfo:
        events.info = true;
        break;
      case Meaning::kPhase:
        if (!events.phase || *events.phase < pattern.phase) events.phase = pattern.phase;
        break;
      case Meaning::kCapture:
        capture(pattern, line, events);
        break;
    }
  }

  void capture(const Pattern& pattern, std::string_view line, LogEvents& events) const {
    re2::StringPiece group;
    if (!RE2::PartialMatch(piece(line), *pattern.regex, &group)) return;
    double value = 0;
    const auto [end, problem] = std::from_chars(group.data(), group.data() + group.size(), value);
    // Half a number is a pattern that means something else, "inf" no figure to report.
    if (problem != std::errc() || end != group.data() + group.size() || !std::isfinite(value)) return;
    events.captures.emplace_back(pattern.metric, value);
  }
};

Result<LogMatcher> LogMatcher::compile(const LogPatterns& patterns) {
  auto compiled = std::make_unique<Compiled>();
  compiled->has_ready = !patterns.ready.empty();
  const auto add_all = [&](Meaning meaning, std::string_view name, const std::vector<std::string>& texts) {
    for (const std::string& text : texts)
      if (auto added = compiled->add(meaning, name, text); !added) return added;
    return Result<bool>(true);
  };
  if (auto added = add_all(Meaning::kReady, "ready", patterns.ready); !added) return added.error();
  if (auto added = add_all(Meaning::kFatal, "fatal", patterns.fatal); !added) return added.error();
  if (auto added = add_all(Meaning::kInfo, "info", patterns.info); !added) return added.error();
  if (auto added = add_all(Meaning::kFatalAfterReady, "fatal_after_ready", patterns.fatal_after_ready);
      !added)
    return added.error();
  for (const auto& one : patterns.phases)
    if (auto added = compiled->add(Meaning::kPhase, name_of(one.phase), one.regex, {}, one.phase); !added)
      return added.error();
  for (const auto& one : patterns.captures)
    if (auto added = compiled->add(Meaning::kCapture, one.metric, one.regex, one.metric); !added)
      return added.error();
  if (!compiled->patterns.empty() && !compiled->set.Compile())
    return fail("cannot use the log patterns: together they need too much memory; make them simpler");
  return LogMatcher(std::move(compiled));
}

LogEvents LogMatcher::match(std::string_view raw) const {
  LogEvents events;
  if (compiled_->patterns.empty()) return events;
  std::string storage;
  const std::string_view line = strip_ansi(raw, storage);

  std::vector<int> hits;
  RE2::Set::ErrorInfo error{};
  if (compiled_->set.Match(piece(line), &hits, &error)) {
    for (const int hit : hits)
      compiled_->apply(compiled_->patterns[static_cast<std::size_t>(hit)], line, events);
  } else if (error.kind != RE2::Set::kNoError) {
    // The common automaton ran out of its memory on this line; one by one needs little.
    for (const Pattern& pattern : compiled_->patterns)
      if (RE2::PartialMatch(piece(line), *pattern.regex)) compiled_->apply(pattern, line, events);
  }
  return events;
}

bool LogMatcher::has_ready_pattern() const {
  return compiled_->has_ready;
}

LogMatcher::LogMatcher(std::unique_ptr<Compiled> compiled) : compiled_(std::move(compiled)) {}
LogMatcher::LogMatcher(LogMatcher&&) noexcept = default;
LogMatcher& LogMatcher::operator=(LogMatcher&&) noexcept = default;
LogMatcher::~LogMatcher() = default;

}  // namespace cppworker
