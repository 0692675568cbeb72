// Log lines of text-generation-inference, 1.x and 3.x, as JSON or as text with colours.
#pragma once

#include <chrono>
#include <string>

namespace cppworker::stand_ins {

class TgiLog {
 public:
  TgiLog(int version, bool json) : version_(version), json_(json) {}

  // The launcher's own lines (`message` inside `fields`) and those of its router (`message` on top).
  void launcher(const std::string& message, const std::string& level = "INFO") const;
  void router(const std::string& message) const;
  // "Success" with the span that carries the request's times and parameters.
  void success(const std::string& route, int tokens, std::chrono::nanoseconds total) const;
  // Per-request errors, which are no reason to restart anything.
  void request_error(const std::string& message) const;

 private:
  int version_;
  bool json_;
};

// As Rust's Debug spells a duration: "986.532642ms", "681.374µs", "120ns".
std::string rust_duration(std::chrono::nanoseconds duration);

}  // namespace cppworker::stand_ins
