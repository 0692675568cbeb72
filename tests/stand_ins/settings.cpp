#include "tests/stand_ins/settings.hpp"

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <map>
#include <sstream>
#include <stdexcept>

namespace cppworker::stand_ins {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

std::string knob(const std::string& name) {
  return variable(("STAND_IN_" + name).c_str());
}

int number(const std::string& name, int otherwise) {
  const std::string text = knob(name);
  return text.empty() ? otherwise : std::stoi(text);
}

std::chrono::milliseconds time(const std::string& name, std::chrono::milliseconds otherwise) {
  return std::chrono::milliseconds(number(name, static_cast<int>(otherwise.count())));
}

std::string chosen(const std::string& name, const std::vector<std::string>& choices) {
  const std::string text = knob(name);
  if (text.empty() || text == "none" || std::count(choices.begin(), choices.end(), text)) {
    return text == "none" ? "" : text;
  }
  throw std::runtime_error("cannot use STAND_IN_" + name + "=" + text + ": unknown value");
}

std::string after(const std::vector<std::string>& args, const std::string& flag) {
  const auto found = std::find(args.begin(), args.end(), flag);
  return found == args.end() || found + 1 == args.end() ? "" : found[1];
}

bool has(const std::vector<std::string>& args, const std::string& flag) {
  return std::count(args.begin(), args.end(), flag) > 0;
}

// The name that the program was called by says which real program it takes the place of.
Role read_role(const std::string& called, std::vector<std::string>& args) {
  if (called == "text-generation-launcher") return Role::kTgi;
  if (called == "init.sh") return Role::kSdauto;
  if (called.starts_with("python")) {
    while (!args.empty() && args.front().starts_with('-')) args.erase(args.begin());  // -u and the like
    const std::string script = args.empty() ? "" : std::filesystem::path(args.front()).filename().string();
    if (!args.empty()) args.erase(args.begin());
    if (script == "server.py") return Role::kOoba;
    if (script == "download-model.py") return Role::kOobaDownload;
    if (script == "launch.py") return Role::kSdauto;
    throw std::runtime_error("cannot run '" + script + "': the stand-in knows three scripts by name");
  }
  const std::string role = args.empty() ? "" : args.front();
  if (!args.empty()) args.erase(args.begin());
  const std::map<std::string, Role> roles{
      {"tgi", Role::kTgi}, {"sdauto", Role::kSdauto}, {"ooba", Role::kOoba}};
  if (!roles.contains(role)) throw std::runtime_error("usage: stand_in_server tgi|sdauto|ooba [arguments]");
  return roles.at(role);
}

void read_server_arguments(Settings& settings) {
  std::vector<std::string> args = settings.args;
  if (settings.role == Role::kSdauto) {
    std::istringstream more(variable("WEBUI_ARGS") + " " + variable("COMMANDLINE_ARGS"));
    for (std::string word; more >> word;) args.push_back(word);
    settings.nowebui = has(args, "--nowebui");
    settings.api = has(args, "--api") || settings.nowebui;
    settings.api_log = has(args, "--api-log");
  }
  const bool ooba = settings.role == Role::kOoba;
  settings.openai = ooba && has(args, "--api");
  std::string port = after(args, !ooba ? "--port" : settings.openai ? "--api-port" : "--api-blocking-port");
  if (port.empty()) port = after(args, "--port");
  if (port.empty()) port = variable("SERVER_PORT");
  if (port.empty()) port = settings.role == Role::kSdauto ? "17860" : "5001";
  settings.port = static_cast<std::uint16_t>(std::stoi(port));
  const std::string streaming = after(args, "--api-streaming-port");
  if (!streaming.empty()) settings.streaming_port = static_cast<std::uint16_t>(std::stoi(streaming));
  if (!after(args, "--hostname").empty()) settings.host = after(args, "--hostname");
  settings.model = after(args, "--model");
  settings.json_log = has(args, "--json-output");
}

}  // namespace

Settings read_settings(int argc, char** argv) {
  Settings settings;
  settings.args.assign(argv + 1, argv + argc);
  settings.role = read_role(std::filesystem::path(argv[0]).filename().string(), settings.args);
  read_server_arguments(settings);
  const std::string format = chosen("LOG_FORMAT", {"json", "text"});
  if (!format.empty()) settings.json_log = format == "json";
  settings.load = time("LOAD_MS", settings.load);
  settings.download = time("DOWNLOAD_MS", settings.download);
  settings.warm_up = time("WARMUP_MS", settings.warm_up);
  settings.bind_gap = time("BIND_GAP_MS", settings.bind_gap);
  settings.ready_gate = knob("READY_GATE");
  settings.tgi_version = number("TGI_VERSION", settings.tgi_version);
  settings.crash_phase = chosen("CRASH_PHASE", {"load", "warmup", "ready"});
  settings.crash_kind = chosen("CRASH_KIND", {"exit1", "segv", "kill"});
  settings.hang_phase = chosen("HANG_PHASE", {"load", "warmup", "ready"});
  settings.hang_log = time("HANG_LOG_MS", settings.hang_log);
  settings.once_file = knob("ONCE_FILE");
  settings.fatal_line = knob("FATAL_LINE");
  settings.ignore_term = number("IGNORE_TERM", 0);
  settings.bind_fail = number("BIND_FAIL_AFTER_READY", 0);
  settings.preparing_page = number("PREPARING_PAGE", 0);
  settings.loading_503 = number("LOADING_503", 0);
  settings.shards = number("SHARDS", settings.shards);
  settings.events = number("EVENTS", settings.events);
  settings.event_interval = time("EVENT_INTERVAL_MS", settings.event_interval);
  settings.answer = time("ANSWER_MS", settings.answer);
  settings.keep_alive = time("KEEP_ALIVE_MS", settings.keep_alive);
  settings.permits = number("PERMITS", settings.permits);
  return settings;
}

}  // namespace cppworker::stand_ins
