// The published schema and the reader say the same of every document.
#include <gtest/gtest.h>

#include <filesystem>
#include <functional>
#include <memory>
#include <valijson/adapters/nlohmann_json_adapter.hpp>
#include <valijson/schema.hpp>
#include <valijson/schema_parser.hpp>
#include <valijson/validator.hpp>

#include "backend_folder.hpp"
#include "common/json_reader.hpp"
#include "launchers/backend_definition.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

const std::string kLaunchers = CPPWORKER_SOURCE_DIR "/launchers";

bool schema_accepts(const json& document) {
  static const json text = load_config(kLaunchers + "/schema/backend.schema.json");
  static const std::unique_ptr<const valijson::Schema> schema = [] {
    auto parsed = std::make_unique<valijson::Schema>();
    valijson::adapters::NlohmannJsonAdapter adapter(text);
    valijson::SchemaParser().populateSchema(adapter, *parsed);
    return parsed;
  }();
  valijson::adapters::NlohmannJsonAdapter target(document);
  return valijson::Validator().validate(*schema, target, nullptr);
}

bool reader_accepts(const json& document) {
  BackendFolders folders;
  return load_backend(folders.add("small", document.dump())).has_value();
}

struct Change {
  const char* what;
  std::function<void(json&)> apply;
};

json changed(const Change& change) {
  json document = small_backend();
  change.apply(document);
  return document;
}

void add_stream(json& document, const json& more) {
  json endpoint = {{"method", "GET"}, {"path", "/stream"}, {"workload", 1}};
  endpoint.update(more);
  document["endpoints"].push_back(endpoint);
}

TEST(BackendSchema, BothAcceptTheGoodDocuments) {
  const std::vector<Change> changes = {
      {"nothing", [](json&) {}},
      {"schema", [](json& d) { d["$schema"] = "../schema/backend.schema.json"; }},
      {"description", [](json& d) { d["description"] = "x"; }},
      {"parallel", [](json& d) { d["server"]["parallel"] = false; }},
      {"ipv6", [](json& d) { d["server"]["url"] = "http://[::1]:80"; }},
      {"localhost", [](json& d) { d["server"]["url"] = "http://localhost"; }},
      {"websocket",
       [](json& d) {
         add_stream(d, {{"websocket", true}});
       }},
      {"no websocket",
       [](json& d) {
         add_stream(d, {{"websocket", false}});
       }},
      {"websocket's server",
       [](json& d) {
         add_stream(d, {{"websocket", true}, {"server", "http://127.0.0.1:5002"}});
       }},
      {"trailing slash", [](json& d) { d["server"]["url"] = "http://127.0.0.1:5001/"; }},
      {"stop",
       [](json& d) {
         d["launch"].update({{"stop_signal", "SIGQUIT"}, {"stop_timeout_s", 3600}});
       }},
      {"time to stop after a failure", [](json& d) { d["launch"]["failed_stop_wait_s"] = 1; }},
      {"time to withstand SIGKILL", [](json& d) { d["launch"]["unkillable_after_s"] = 3600; }},
      {"variables",
       [](json& d) {
         d["launch"]["variables"] = {"MODEL_ID", "TGI_*"};
       }},
      {"secrets",
       [](json& d) {
         d["launch"]["secrets"] = {"HF_TOKEN", "AWS_*"};
       }},
      {"stop in steps",
       [](json& d) {
         d["launch"]["stop"] = {{{"signal", "SIGTERM"}, {"wait_s", 0}},
                                {{"signal", "SIGABRT"}, {"wait_s", 3600}, {"to", "tree"}}};
       }},
      {"restart",
       [](json& d) {
         d["restart"] = {{"first_wait_s", 1},
                         {"longest_wait_s", 86400},
                         {"give_up", {{{"failures", 1}, {"window_s", 604800}, {"causes", {"exit"}}}}}};
       }},
      {"restart for ever", [](json& d) { d["restart"]["give_up"] = json::array(); }},
      {"hooks",
       [](json& d) {
         d["hooks"] = {{"pre_start", {{"command", "launch.sh"}}},
                       {"post_ready", {{"command", "launch.sh"}, {"timeout_s", 1}}},
                       {"pre_stop", {{"command", "launch.sh"}}},
                       {"post_exit", {{"command", "launch.sh"}}}};
       }},
      {"empty lists",
       [](json& d) {
         d["log"].update({{"fatal", json::array()}, {"capture", json::array()}});
       }},
      {"capture",
       [](json& d) {
         d["log"]["capture"] = {{{"metric", "max_capacity"}, {"regex", "(\\d+)"}}};
       }},
      {"health alone",
       [](json& d) {
         d.erase("log"), d["health"] = {{"path", "/h?a=b"}};
       }},
      {"health beside an empty log",
       [](json& d) {
         d["log"] = json::object(), d["health"] = {{"path", "/"}};
       }},
      {"health in full",
       [](json& d) {
         d["health"] = {
             {"path", "/h"}, {"expect_json", true}, {"interval_s", 1}, {"timeout_s", 1}, {"failures", 1000}};
       }},
      {"health by port",
       [](json& d) {
         d["health"] = {{"tcp", true}, {"unready_failures", 1}, {"successes", 3}, {"stall_s", 1}};
       }},
      {"health by command",
       [](json& d) {
         d["health"] = {{"command", {"launch.sh", "-c"}}, {"errors_in_a_row", 1}};
       }},
      {"further probes",
       [](json& d) {
         d["health"] = {
             {"path", "/h"},
             {"status", 204},
             {"body", "ok"},
             {"also", {{{"tcp", true}}, {{"log_silence_s", 60}}, {{"path", "/deep"}, {"status", 200}}}}};
       }},
      {"a line that must come",
       [](json& d) {
         d["health"] = {{"tcp", true}, {"also", {{{"log", "^alive"}, {"within_s", 60}}}}};
       }},
      {"a canary",
       [](json& d) {
         d["health"] = {
             {"path", "/h"},
             {"canary", {{"endpoint", "/generate"}, {"payload", {{"a", "${words:3}"}}}, {"timeout_s", 9}}}};
       }},
      {"phases",
       [](json& d) {
         d["log"]["phases"] = {{"download", {"a"}}, {"load", json::array()}, {"warm_up", {"b"}}};
       }},
      {"lines that are fatal later", [](json& d) { d["log"]["fatal_after_ready"] = {"^CUDA error"}; }},
      {"a log file", [](json& d) { d["log"]["file"] = "/var/log/server.log"; }},
      {"startup",
       [](json& d) {
         d["startup"] = {{"deadline_s", 86400}, {"no_progress_s", 1}};
       }},
      {"a path like the worker's own", [](json& d) { d["endpoints"][0]["path"] = "/pings"; }},
      {"empty startup", [](json& d) { d["startup"] = json::object(); }},
      {"limits",
       [](json& d) {
         d["endpoints"][0].update({{"max_body_bytes", 1}, {"max_json_depth", 8}, {"max_queue_time_s", 0.5}});
       }},
      {"open endpoint",
       [](json& d) {
         d["endpoints"][0].update({{"auth", "none"}, {"method", "GET"}});
       }},
      {"fractional workload", [](json& d) { d["endpoints"][0]["workload"] = 0.25; }},
      {"path workload", [](json& d) { d["endpoints"][0]["workload"] = "payload.a.b"; }},
      {"benchmark",
       [](json& d) {
         d["benchmark"] = {{"endpoint", "/generate"}, {"payload", json::object()}};
       }},
      {"benchmark in full",
       [](json& d) {
         d["benchmark"] = {
             {"endpoint", "/generate"}, {"runs", 100}, {"concurrency", 1}, {"payload", {{"a", 1}}}};
       }},
  };
  for (const Change& change : changes) {
    EXPECT_TRUE(reader_accepts(changed(change))) << change.what;
    EXPECT_TRUE(schema_accepts(changed(change))) << change.what;
  }
}

TEST(BackendSchema, BothRefuseTheBadDocuments) {
  const std::vector<Change> changes = {
      {"no object", [](json& d) { d = json::array(); }},
      {"no name", [](json& d) { d.erase("name"); }},
      {"capital letters", [](json& d) { d["name"] = "Small"; }},
      {"number as name", [](json& d) { d["name"] = 1; }},
      {"empty description", [](json& d) { d["description"] = ""; }},
      {"no server", [](json& d) { d.erase("server"); }},
      {"no url", [](json& d) { d["server"].erase("url"); }},
      {"elsewhere", [](json& d) { d["server"]["url"] = "http://example.com:5001"; }},
      {"tls", [](json& d) { d["server"]["url"] = "https://127.0.0.1:5001"; }},
      {"url with a path", [](json& d) { d["server"]["url"] = "http://127.0.0.1:5001/api"; }},
      {"parallel as text", [](json& d) { d["server"]["parallel"] = "yes"; }},
      {"unknown in server", [](json& d) { d["server"]["urls"] = 1; }},
      {"no launch", [](json& d) { d.erase("launch"); }},
      {"no script", [](json& d) { d["launch"].erase("script"); }},
      {"a variable's value", [](json& d) { d["launch"]["variables"] = {"MODEL_ID=a"}; }},
      {"a secret's value", [](json& d) { d["launch"]["secrets"] = {"HF_TOKEN=a"}; }},
      {"any secret", [](json& d) { d["launch"]["secrets"] = {"*"}; }},
      {"a pattern inside", [](json& d) { d["launch"]["variables"] = {"A*B"}; }},
      {"any variable", [](json& d) { d["launch"]["variables"] = {"*"}; }},
      {"strange signal", [](json& d) { d["launch"]["stop_signal"] = "TERM"; }},
      {"no time to stop", [](json& d) { d["launch"]["stop_timeout_s"] = 0; }},
      {"no time to stop after a failure", [](json& d) { d["launch"]["failed_stop_wait_s"] = 0; }},
      {"no time to withstand SIGKILL", [](json& d) { d["launch"]["unkillable_after_s"] = 0; }},
      {"fractional time to stop", [](json& d) { d["launch"]["stop_timeout_s"] = 1.5; }},
      {"two ways to stop",
       [](json& d) {
         d["launch"].update({{"stop_signal", "SIGINT"}, {"stop", {{{"signal", "SIGTERM"}, {"wait_s", 1}}}}});
       }},
      {"step without time",
       [](json& d) {
         d["launch"]["stop"] = {{{"signal", "SIGTERM"}}};
       }},
      {"step to nobody",
       [](json& d) {
         d["launch"]["stop"] = {{{"signal", "SIGTERM"}, {"wait_s", 1}, {"to", "all"}}};
       }},
      {"unknown in restart", [](json& d) { d["restart"]["never"] = true; }},
      {"rule without window",
       [](json& d) {
         d["restart"]["give_up"] = {{{"failures", 1}}};
       }},
      {"rule for no failure",
       [](json& d) {
         d["restart"]["give_up"] = {{{"failures", 0}, {"window_s", 1}}};
       }},
      {"strange cause",
       [](json& d) {
         d["restart"]["give_up"] = {{{"failures", 1}, {"window_s", 1}, {"causes", {"bad luck"}}}};
       }},
      {"hook without command", [](json& d) { d["hooks"]["pre_start"] = json::object(); }},
      {"unknown hook",
       [](json& d) {
         d["hooks"]["pre_launch"] = {{"command", "launch.sh"}};
       }},
      {"nothing tells ready", [](json& d) { d.erase("log"); }},
      {"no ready pattern", [](json& d) { d["log"]["ready"] = json::array(); }},
      {"pattern not in a list", [](json& d) { d["log"]["ready"] = "Connected"; }},
      {"empty pattern", [](json& d) { d["log"]["ready"] = {""}; }},
      {"capture without metric",
       [](json& d) {
         d["log"]["capture"] = {{{"regex", "(a)"}}};
       }},
      {"unknown in log", [](json& d) { d["log"]["error"] = json::array(); }},
      {"health without path", [](json& d) { d["health"] = json::object(); }},
      {"health path without slash",
       [](json& d) {
         d["health"] = {{"path", "health"}};
       }},
      {"health path with blank",
       [](json& d) {
         d["health"] = {{"path", "/a b"}};
       }},
      {"health path with fragment",
       [](json& d) {
         d["health"] = {{"path", "/a#b"}};
       }},
      {"no interval",
       [](json& d) {
         d["health"] = {{"path", "/"}, {"interval_s", 0}};
       }},
      {"two ways in one",
       [](json& d) {
         d["health"] = {{"path", "/"}, {"tcp", true}};
       }},
      {"tcp false",
       [](json& d) {
         d["health"] = {{"tcp", false}};
       }},
      {"a port's status",
       [](json& d) {
         d["health"] = {{"tcp", true}, {"status", 200}};
       }},
      {"a command without words",
       [](json& d) {
         d["health"] = {{"command", json::array()}};
       }},
      {"a line that must come some time",
       [](json& d) {
         d["health"] = {{"tcp", true}, {"also", {{{"log", "^alive"}}}}};
       }},
      {"a time without a line",
       [](json& d) {
         d["health"] = {{"tcp", true}, {"also", {{{"tcp", true}, {"within_s", 60}}}}};
       }},
      {"silence as the main probe",
       [](json& d) {
         d["health"] = {{"log_silence_s", 60}};
       }},
      {"a further probe's canary",
       [](json& d) {
         d["health"] = {{"path", "/"}, {"also", {{{"tcp", true}, {"stall_s", 5}}}}};
       }},
      {"a canary without payload",
       [](json& d) {
         d["health"] = {{"path", "/"}, {"canary", {{"endpoint", "/generate"}}}};
       }},
      {"an informational status",
       [](json& d) {
         d["health"] = {{"path", "/"}, {"status", 100}};
       }},
      {"an unknown phase",
       [](json& d) {
         d["log"]["phases"] = {{"launch", {"a"}}};
       }},
      {"a heartbeat from anywhere",
       [](json& d) {
         d["health"] = {{"tcp", true}, {"also", {{{"log", "alive"}, {"within_s", 60}}}}};
       }},
      {"a fatal line from anywhere", [](json& d) { d["log"]["fatal_after_ready"] = {"CUDA error"}; }},
      {"a relative log file", [](json& d) { d["log"]["file"] = "infer.log"; }},
      {"no time without progress",
       [](json& d) {
         d["startup"] = {{"no_progress_s", 0}};
       }},
      {"startup too long",
       [](json& d) {
         d["startup"] = {{"deadline_s", 86401}};
       }},
      {"no endpoints", [](json& d) { d.erase("endpoints"); }},
      {"empty endpoints", [](json& d) { d["endpoints"] = json::array(); }},
      {"no method", [](json& d) { d["endpoints"][0].erase("method"); }},
      {"small method", [](json& d) { d["endpoints"][0]["method"] = "post"; }},
      {"no path", [](json& d) { d["endpoints"][0].erase("path"); }},
      {"path without slash", [](json& d) { d["endpoints"][0]["path"] = "generate"; }},
      {"path with query", [](json& d) { d["endpoints"][0]["path"] = "/generate?a=b"; }},
      {"the worker's ping", [](json& d) { d["endpoints"][0]["path"] = "/ping"; }},
      {"the worker's sessions", [](json& d) { d["endpoints"][0]["path"] = "/session/x"; }},
      {"the worker's management", [](json& d) { d["endpoints"][0]["path"] = "/pyworker/update"; }},
      {"no workload", [](json& d) { d["endpoints"][0].erase("workload"); }},
      {"negative workload", [](json& d) { d["endpoints"][0]["workload"] = -1; }},
      {"huge workload", [](json& d) { d["endpoints"][0]["workload"] = 1e10; }},
      {"empty workload", [](json& d) { d["endpoints"][0]["workload"] = ""; }},
      {"workload true", [](json& d) { d["endpoints"][0]["workload"] = true; }},
      {"strange auth", [](json& d) { d["endpoints"][0]["auth"] = "token"; }},
      {"no body allowed", [](json& d) { d["endpoints"][0]["max_body_bytes"] = 0; }},
      {"too flat", [](json& d) { d["endpoints"][0]["max_json_depth"] = 7; }},
      {"too deep", [](json& d) { d["endpoints"][0]["max_json_depth"] = 1025; }},
      {"queue too long", [](json& d) { d["endpoints"][0]["max_queue_time_s"] = 3601; }},
      {"unknown in endpoint", [](json& d) { d["endpoints"][0]["timeout"] = 1; }},
      {"benchmark without payload",
       [](json& d) {
         d["benchmark"] = {{"endpoint", "/generate"}};
       }},
      {"benchmark payload as text",
       [](json& d) {
         d["benchmark"] = {{"endpoint", "/generate"}, {"payload", "x"}};
       }},
      {"no runs",
       [](json& d) {
         d["benchmark"] = {{"endpoint", "/generate"}, {"runs", 0}, {"payload", json::object()}};
       }},
      {"unknown at the top", [](json& d) { d["hooks"] = "hooks.lua"; }},
  };
  for (const Change& change : changes) {
    EXPECT_FALSE(reader_accepts(changed(change))) << change.what;
    EXPECT_FALSE(schema_accepts(changed(change))) << change.what;
  }
}

TEST(BackendSchema, EveryBackendOfTheProjectPassesBoth) {
  int seen = 0;
  for (const auto& entry : std::filesystem::directory_iterator(kLaunchers)) {
    std::filesystem::path file = entry.path() / "backend.json";
    if (!std::filesystem::exists(file)) continue;
    ++seen;
    auto loaded = load_backend(entry.path().string());
    EXPECT_TRUE(loaded) << loaded.error().message;
    EXPECT_TRUE(schema_accepts(load_config(file.string()))) << file;
    // Without one a row of errors, which clients can bring about, restarts a healthy server.
    EXPECT_TRUE(loaded->health && loaded->health->canary) << file;
    // Formulas must also run, on nothing and on a plausible payload.
    for (const EndpointDefinition& endpoint : loaded->endpoints) {
      WorkloadEvaluator evaluator(endpoint.workload);
      EXPECT_TRUE(evaluator.milli_units("")) << file << " " << endpoint.path;
      EXPECT_TRUE(evaluator.milli_units(R"({"inputs":"x","prompt":"y","parameters":{"max_new_tokens":5}})"))
          << file << " " << endpoint.path;
    }
  }
  EXPECT_GE(seen, 4);
}

}  // namespace
}  // namespace cppworker
