#include "tests/stand_ins/tgi_log.hpp"

#include <nlohmann/json.hpp>

#include "tests/stand_ins/stage.hpp"

namespace cppworker::stand_ins {
namespace {

using Json = nlohmann::ordered_json;  // the order of the members is part of what log patterns match

std::string timestamp() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  const std::time_t seconds = std::chrono::duration_cast<std::chrono::seconds>(now).count();
  const auto micros = std::chrono::duration_cast<std::chrono::microseconds>(now).count() % 1'000'000;
  char day[32], text[48];
  std::tm parts{};
  std::strftime(day, sizeof day, "%Y-%m-%dT%H:%M:%S", gmtime_r(&seconds, &parts));
  std::snprintf(text, sizeof text, "%s.%06dZ", day, static_cast<int>(micros));
  return text;
}

// "ESC[2mTIMEESC[0m ESC[32m INFOESC[0m ": what the text format begins each line with, in files and pipes,
// too.
std::string text_head(const std::string& level) {
  const bool error = level == "ERROR";
  return "\x1b[2m" + timestamp() + "\x1b[0m " + (error ? "\x1b[31mERROR" : "\x1b[32m INFO") + "\x1b[0m ";
}

std::string dim(const std::string& text) {
  return "\x1b[2m" + text + "\x1b[0m";
}

constexpr char kServerTarget[] = "text_generation_router::server";

}  // namespace

std::string rust_duration(std::chrono::nanoseconds duration) {
  const double ns = static_cast<double>(duration.count());
  const auto spell = [](double value, const char* unit) {
    char text[48];
    std::snprintf(text, sizeof text, "%.9g%s", value, unit);
    return std::string(text);
  };
  if (ns < 1e3) return spell(ns, "ns");
  if (ns < 1e6) return spell(ns / 1e3, "µs");
  if (ns < 1e9) return spell(ns / 1e6, "ms");
  return spell(ns / 1e9, "s");
}

void TgiLog::launcher(const std::string& message, const std::string& level) const {
  if (!json_)
    return print_line(text_head(level) + dim("text_generation_launcher") + dim(":") + " " + message);
  const Json line{{"timestamp", timestamp()},
                  {"level", level},
                  {"fields", {{"message", message}}},
                  {"target", "text_generation_launcher"}};
  print_line(line.dump());
}

void TgiLog::router(const std::string& message) const {
  const std::string target = version_ == 1 ? "text_generation_router" : kServerTarget;
  const std::string file = version_ == 1 ? "router/src/main.rs" : "router/src/server.rs";
  const int number = version_ == 1 ? 247 : 2311;
  if (!json_) {
    return print_line(text_head("INFO") + dim(target) + dim(":") + " " + dim(file) + dim(":") +
                      dim(std::to_string(number) + ":") + " " + message);
  }
  const Json line{{"timestamp", timestamp()}, {"level", "INFO"},  {"message", message},
                  {"target", target},         {"filename", file}, {"line_number", number}};
  print_line(line.dump());
}

void TgiLog::success(const std::string& route, int tokens, std::chrono::nanoseconds total) const {
  const std::string parameters =
      "GenerateParameters { best_of: None, temperature: None, max_new_tokens: " +
      (version_ == 1 ? std::to_string(tokens) : "Some(" + std::to_string(tokens) + ")") +
      ", stop: [], seed: None }";
  const std::string each = rust_duration(total / std::max(tokens, 1)), all = rust_duration(total);
  const std::string wait = rust_duration(std::chrono::nanoseconds(120));
  if (!json_) {
    return print_line(text_head("INFO") + route + "{parameters=" + parameters + " total_time=\"" + all +
                      "\" validation_time=\"" + wait + "\" queue_time=\"" + wait + "\" inference_time=\"" +
                      all + "\" time_per_token=\"" + each + "\" seed=\"None\"}" + dim(":") + " " +
                      dim(kServerTarget) + dim(":") + " " + dim("router/src/server.rs") + dim(":") +
                      dim("402:") + " Success");
  }
  const Json span{
      {"inference_time", all},  {"parameters", parameters}, {"queue_time", wait},      {"seed", "None"},
      {"time_per_token", each}, {"total_time", all},        {"validation_time", wait}, {"name", route}};
  const Json line{{"timestamp", timestamp()},
                  {"level", "INFO"},
                  {"message", "Success"},
                  {"target", kServerTarget},
                  {"filename", "router/src/server.rs"},
                  {"line_number", version_ == 1 ? 289 : 402},
                  {"span", span},
                  {"spans", Json::array({span})}};
  print_line(line.dump());
}

void TgiLog::request_error(const std::string& message) const {
  const std::string target = "text_generation_router::infer";
  if (!json_) {
    return print_line(text_head("ERROR") + dim(target) + dim(":") + " " + dim("router/src/infer.rs") +
                      dim(":") + dim("80:") + " " + message);
  }
  const Json line{
      {"timestamp", timestamp()},          {"level", "ERROR"}, {"message", message}, {"target", target},
      {"filename", "router/src/infer.rs"}, {"line_number", 80}};
  print_line(line.dump());
}

}  // namespace cppworker::stand_ins
