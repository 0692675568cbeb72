#include "launchers/backend_definition.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <signal.h>

#include "backend_folder.hpp"

namespace cppworker {
namespace {

using nlohmann::json;
using testing::HasSubstr;

// What is wrong with the definition; empty when it is accepted.
std::string problem(const std::string& definition) {
  BackendFolders folders;
  auto loaded = load_backend(folders.add("small", definition));
  return loaded ? "" : loaded.error().message;
}
std::string problem(const json& definition) {
  return problem(definition.dump());
}

// The small definition with `value` at `pointer`.
json with(const std::string& pointer, json value) {
  json definition = small_backend();
  definition[json::json_pointer(pointer)] = std::move(value);
  return definition;
}

TEST(BackendDefinition, TheSmallestOneHasDefaults) {
  BackendFolders folders;
  auto loaded = load_backend(folders.add("small", small_backend().dump()));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->name, "small");
  EXPECT_EQ(loaded->server.port, 5001);
  EXPECT_EQ(loaded->max_concurrency, 0);
  EXPECT_TRUE(loaded->launch_script.ends_with("/small/launch.sh"));
  ASSERT_EQ(loaded->stop_steps.size(), 1u);
  EXPECT_EQ(loaded->stop_steps[0].signal, SIGTERM);
  EXPECT_EQ(loaded->stop_steps[0].wait, std::chrono::seconds(90));
  EXPECT_FALSE(loaded->restart.give_up);
  EXPECT_FALSE(loaded->hooks.pre_start);
  EXPECT_EQ(loaded->startup.deadline, std::chrono::hours(1));
  EXPECT_FALSE(loaded->health);
  EXPECT_FALSE(loaded->benchmark);
  ASSERT_EQ(loaded->endpoints.size(), 1U);
  EXPECT_EQ(loaded->endpoints[0].auth, EndpointDefinition::Auth::kSignature);
  EXPECT_EQ(loaded->endpoints[0].max_queue_time, std::nullopt);
}

TEST(BackendDefinition, EverySettingIsRead) {
  BackendFolders folders;
  auto loaded = load_backend(folders.add("small", R"json({
    "name": "small", "description": "a test",
    "server": { "url": "http://localhost:7860", "parallel": false },
    "launch": { "script": "./launch.sh", "variables": ["MODEL_ID", "TOY_*"], "secrets": ["HF_TOKEN"], "stop_signal": "SIGINT", "stop_timeout_s": 7, "failed_stop_wait_s": 3, "unkillable_after_s": 240 },
    "log": { "ready": ["a", "b"], "fatal": ["c"], "info": ["d"], "fatal_after_ready": ["^e"], "file": "/var/log/s.log",
             "phases": { "download": ["f"], "load": ["g", "h"], "warm_up": ["i"] },
             "capture": [{ "metric": "max_capacity", "regex": "total (\\d+)" }] },
    "health": {
      "path": "/health?deep=1", "status": 204, "expect_json": true, "body": "ok|well",
      "interval_s": 2, "timeout_s": 3, "failures": 4, "unready_failures": 3, "successes": 2,
      "also": [ { "tcp": true, "failures": 1 }, { "command": ["launch.sh", "--check"] }, { "log_silence_s": 900 }, { "log": "^stats: ", "within_s": 60 } ],
      "stall_s": 300, "errors_in_a_row": 5,
      "canary": { "endpoint": "/a", "payload": { "n": 1 }, "interval_s": 20, "timeout_s": 7 }
    },
    "startup": { "deadline_s": 60, "no_progress_s": 30 },
    "endpoints": [
      { "method": "POST", "path": "/a", "workload": "payload.n * 2", "max_body_bytes": 100, "max_json_depth": 9, "max_queue_time_s": 1.5 },
      { "method": "GET", "path": "/a", "auth": "none", "workload": 0 }
    ],
    "benchmark": { "endpoint": "/a", "runs": 2, "concurrency": 5, "payload": { "n": 3, "text": "${words:4}" } }
  })json"));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->description, "a test");
  EXPECT_EQ(loaded->server.authority(), "localhost:7860");
  EXPECT_EQ(loaded->max_concurrency, 1);
  EXPECT_EQ(loaded->launch_variables, (std::vector<std::string>{"MODEL_ID", "TOY_*"}));
  EXPECT_EQ(loaded->launch_secrets, (std::vector<std::string>{"HF_TOKEN"}));
  ASSERT_EQ(loaded->stop_steps.size(), 1u);
  EXPECT_EQ(loaded->stop_steps[0].signal, SIGINT);
  EXPECT_EQ(loaded->stop_steps[0].wait, std::chrono::seconds(7));
  EXPECT_EQ(loaded->failed_stop_wait, std::chrono::seconds(3));
  EXPECT_EQ(loaded->unkillable_after, std::chrono::seconds(240));
  EXPECT_EQ(loaded->log.ready, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(loaded->log.fatal, (std::vector<std::string>{"c"}));
  EXPECT_EQ(loaded->log.info, (std::vector<std::string>{"d"}));
  ASSERT_EQ(loaded->log.captures.size(), 1U);
  EXPECT_EQ(loaded->log.captures[0].metric, "max_capacity");
  EXPECT_EQ(loaded->log.fatal_after_ready, (std::vector<std::string>{"^e"}));
  EXPECT_EQ(loaded->log.file, "/var/log/s.log");
  ASSERT_EQ(loaded->log.phases.size(), 4U);
  EXPECT_EQ(loaded->log.phases[2].phase, LoadPhase::kLoad);
  EXPECT_EQ(loaded->log.phases[2].regex, "h");
  ASSERT_TRUE(loaded->health);
  EXPECT_EQ(loaded->health->main.path, "/health?deep=1");
  EXPECT_TRUE(loaded->health->main.expect_json);
  EXPECT_EQ(loaded->health->main.interval, std::chrono::seconds(2));
  EXPECT_EQ(loaded->health->main.timeout, std::chrono::seconds(3));
  EXPECT_EQ(loaded->health->main.failures, 4);
  EXPECT_EQ(loaded->health->main.status, 204);
  EXPECT_EQ(loaded->health->main.body, "ok|well");
  EXPECT_EQ(loaded->health->main.unready_failures, 3);
  EXPECT_EQ(loaded->health->main.successes, 2);
  ASSERT_EQ(loaded->health->others.size(), 4U);
  EXPECT_EQ(loaded->health->others[0].kind, ProbeDefinition::Kind::kTcp);
  EXPECT_EQ(loaded->health->others[0].unready_failures, 1) << "no more than failures";
  EXPECT_EQ(loaded->health->others[1].command, (std::vector<std::string>{loaded->launch_script, "--check"}));
  EXPECT_EQ(loaded->health->others[2].silence, std::chrono::minutes(15));
  EXPECT_EQ(loaded->health->others[3].kind, ProbeDefinition::Kind::kLogPattern);
  EXPECT_EQ(loaded->health->others[3].log, "^stats: ");
  EXPECT_EQ(loaded->health->others[3].silence, std::chrono::minutes(1));
  EXPECT_EQ(loaded->health->stall, std::chrono::minutes(5));
  EXPECT_EQ(loaded->health->errors_in_a_row, 5);
  ASSERT_TRUE(loaded->health->canary);
  EXPECT_EQ(loaded->health->canary->endpoint, "/a");
  EXPECT_EQ(loaded->health->canary->interval, std::chrono::seconds(20));
  EXPECT_EQ(loaded->health->canary->timeout, std::chrono::seconds(7));
  EXPECT_EQ(loaded->startup.deadline, std::chrono::minutes(1));
  EXPECT_EQ(loaded->startup.no_progress, std::chrono::seconds(30));
  const EndpointDefinition* post = loaded->find_endpoint("POST", "/a");
  ASSERT_NE(post, nullptr);
  EXPECT_EQ(post->max_body_bytes, 100);
  EXPECT_EQ(post->max_json_depth, 9);
  EXPECT_EQ(post->max_queue_time, std::chrono::milliseconds(1500));
  EXPECT_EQ(WorkloadEvaluator(post->workload).milli_units(R"({"n": 4})").value(), 8000);
  const EndpointDefinition* get = loaded->find_endpoint("GET", "/a");
  ASSERT_NE(get, nullptr);
  EXPECT_EQ(get->auth, EndpointDefinition::Auth::kNone);
  EXPECT_EQ(loaded->find_endpoint("PUT", "/a"), nullptr);
  ASSERT_TRUE(loaded->benchmark);
  EXPECT_EQ(loaded->benchmark->endpoint, "/a");
  EXPECT_EQ(loaded->benchmark->runs, 2);
  EXPECT_EQ(loaded->benchmark->concurrency, 5);
  EXPECT_EQ(loaded->benchmark->payload["text"], "${words:4}");
}

TEST(BackendDefinition, StopsInSteps) {
  BackendFolders folders;
  const json steps = {{{"signal", "SIGINT"}, {"wait_s", 10}},
                      {{"signal", "SIGABRT"}, {"wait_s", 0}, {"to", "tree"}}};
  auto loaded = load_backend(folders.add("small", with("/launch/stop", steps).dump()));
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_EQ(loaded->stop_steps.size(), 2u);
  EXPECT_EQ(loaded->stop_steps[0].signal, SIGINT);
  EXPECT_EQ(loaded->stop_steps[0].wait, std::chrono::seconds(10));
  EXPECT_EQ(loaded->stop_steps[0].to, StopStepDefinition::To::kLeader);
  EXPECT_EQ(loaded->stop_steps[1].signal, SIGABRT);
  EXPECT_EQ(loaded->stop_steps[1].to, StopStepDefinition::To::kTree);
  json both = with("/launch/stop", steps);
  both["launch"]["stop_signal"] = "SIGINT";
  EXPECT_THAT(problem(both), HasSubstr("/launch/stop: must not stand beside stop_signal"));
}

TEST(BackendDefinition, SaysWhenRestartingEnds) {
  BackendFolders folders;
  const json restart = {{"first_wait_s", 5},
                        {"longest_wait_s", 300},
                        {"give_up", {{{"causes", {"exit", "spawn"}}, {"failures", 3}, {"window_s", 600}}}}};
  auto loaded = load_backend(folders.add("small", with("/restart", restart).dump()));
  ASSERT_TRUE(loaded) << loaded.error().message;
  EXPECT_EQ(loaded->restart.first_wait, std::chrono::seconds(5));
  EXPECT_EQ(loaded->restart.longest_wait, std::chrono::minutes(5));
  ASSERT_TRUE(loaded->restart.give_up);
  ASSERT_EQ(loaded->restart.give_up->size(), 1u);
  EXPECT_EQ(loaded->restart.give_up->at(0).causes, (std::vector<std::string>{"exit", "spawn"}));
  EXPECT_EQ(loaded->restart.give_up->at(0).failures, 3);
  EXPECT_EQ(loaded->restart.give_up->at(0).window, std::chrono::minutes(10));
  EXPECT_THAT(
      problem(with("/restart", {{"give_up", {{{"causes", {"exits"}}, {"failures", 3}, {"window_s", 1}}}}})),
      HasSubstr("/restart/give_up/0/causes/0: must be one of \"spawn\""));
}

TEST(BackendDefinition, HooksAreProgramsOfItsFolder) {
  BackendFolders folders;
  const json hooks = {{"pre_start", {{"command", "launch.sh"}, {"timeout_s", 5}}},
                      {"post_exit", {{"command", "launch.sh"}}}};
  auto loaded = load_backend(folders.add("small", with("/hooks", hooks).dump()));
  ASSERT_TRUE(loaded) << loaded.error().message;
  ASSERT_TRUE(loaded->hooks.pre_start);
  EXPECT_EQ(loaded->hooks.pre_start->command, loaded->launch_script);
  EXPECT_EQ(loaded->hooks.pre_start->timeout, std::chrono::seconds(5));
  EXPECT_EQ(loaded->hooks.post_exit->timeout, std::chrono::seconds(60));
  EXPECT_FALSE(loaded->hooks.pre_stop);
  EXPECT_THAT(problem(with("/hooks/pre_stop", {{"command", "/bin/sh"}})),
              HasSubstr("/hooks/pre_stop/command: must stay inside the backend's folder"));
}

TEST(BackendDefinition, MistakesAreNamedWithFileAndPointer) {
  EXPECT_THAT(problem(with("/endpints", json::array())), HasSubstr("did you mean \"endpoints\"?"));
  EXPECT_THAT(problem(with("/endpints", json::array())), HasSubstr("small/backend.json: /endpints"));
  EXPECT_THAT(problem(with("/name", "other")), HasSubstr("/name: must be the name of its folder"));
  EXPECT_THAT(problem(with("/server/url", "http://10.0.0.1:5001")),
              HasSubstr("/server/url: must be http on loopback"));
  EXPECT_THAT(problem(with("/server/url", "https://127.0.0.1")), HasSubstr("must be http on loopback"));
  EXPECT_THAT(problem(with("/server/url", "http://127.0.0.1:5001/api")), HasSubstr("without a path"));
  EXPECT_THAT(problem(with("/log/ready/0", "(")), HasSubstr("/log/ready/0: must be a regular expression"));
  EXPECT_THAT(problem(with("/log/fatal", {"a", "*"})), HasSubstr("/log/fatal/1"));
  EXPECT_THAT(problem(with("/log/capture", {{{"metric", "m"}, {"regex", "\\d+"}}})),
              HasSubstr("/log/capture/0/regex: must have a group"));
  EXPECT_THAT(problem(with("/launch/stop_signal", "SIGSEGV")), HasSubstr("must be one of \"SIGTERM\""));
  EXPECT_THAT(problem(with("/endpoints/0/path", "generate")), HasSubstr("/endpoints/0/path: must be a path"));
  EXPECT_THAT(problem(with("/endpoints/0/path", "/a?b=c")), HasSubstr("without a query"));
  EXPECT_THAT(problem(with("/endpoints/0/workload", "payload.")), HasSubstr("/endpoints/0/workload"));
  EXPECT_THAT(problem(with("/endpoints/0/workload", "1 +")),
              HasSubstr("cannot compile the workload \"1 +\""));
  EXPECT_THAT(problem(with("/endpoints/0/workload", -1)), HasSubstr("must be a number from 0"));
  EXPECT_THAT(problem(with("/endpoints/1", small_backend()["endpoints"][0])),
              HasSubstr("/endpoints/1: must not repeat the endpoint POST /generate"));
  EXPECT_THAT(problem(with("/benchmark", {{"endpoint", "/other"}, {"payload", json::object()}})),
              HasSubstr("/benchmark/endpoint: must be the path of a POST endpoint"));
  EXPECT_THAT(problem(with("/benchmark", {{"endpoint", "/generate"}, {"payload", {{"a", "${word:3}"}}}})),
              HasSubstr("/benchmark/payload: cannot use the benchmark payload"));
  EXPECT_THAT(problem(with("/log", json::object())), HasSubstr("needs /log/ready or /health"));
  EXPECT_THAT(problem(with("/log/fatal_after_ready", {"CUDA"})),
              HasSubstr("/log/fatal_after_ready/0: must begin with '^'"));
  EXPECT_THAT(problem(with("/health", {{"tcp", true}, {"also", {{{"log", "heartbeat"}, {"within_s", 60}}}}})),
              HasSubstr("/health/also/0/log: must begin with '^'"));
  EXPECT_THAT(problem(with("/health", json::object())), HasSubstr("/health: must have exactly one of path,"));
  EXPECT_THAT(problem(with("/health", {{"command", {"missing.sh"}}})),
              HasSubstr("must be a file in the backend's folder"));
  EXPECT_THAT(problem(with("/health",
                           {{"tcp", true}, {"canary", {{"endpoint", "/x"}, {"payload", json::object()}}}})),
              HasSubstr("/health/canary/endpoint: must be the path of a POST endpoint"));
}

json with_websocket(const json& more) {
  json endpoint = {{"method", "GET"}, {"path", "/stream"}, {"workload", 1}, {"websocket", true}};
  endpoint.update(more);
  return with("/endpoints/1", endpoint);
}

TEST(BackendDefinition, AWebSocketMayHaveAServerOfItsOwn) {
  EXPECT_EQ(problem(with_websocket({{"server", "http://127.0.0.1:5002"}})), "");
  EXPECT_THAT(problem(with_websocket({{"server", "http://10.0.0.1:5002"}})),
              HasSubstr("/endpoints/1/server: must be http on loopback"));
  EXPECT_THAT(problem(with_websocket({{"server", "http://127.example.com"}})), HasSubstr("on loopback"));
  EXPECT_THAT(problem(with_websocket({{"server", "ws://127.0.0.1:5002"}})), HasSubstr("/endpoints/1/server"));
  EXPECT_THAT(problem(with_websocket({{"websocket", false}, {"server", "http://127.0.0.1:5002"}})),
              HasSubstr("/endpoints/1/server: must stand beside \"websocket\": true"));
  EXPECT_THAT(problem(with_websocket({{"method", "POST"}})),
              HasSubstr("/endpoints/1/websocket: must be false, unless the method is GET"));
}

TEST(BackendDefinition, TheServersOfEndpointsMoveWithTheBackends) {
  BackendFolders folders;
  BackendDefinition backend =
      load_backend(folders.add("small", with_websocket({{"server", "http://127.0.0.1:5002"}}).dump()))
          .value();
  move_server(backend, parse_url("http://127.0.0.2:7001").value());
  EXPECT_EQ(backend.server.text(), "http://127.0.0.2:7001");
  EXPECT_EQ(backend.endpoints[1].server->text(), "http://127.0.0.2:7002");
  EXPECT_EQ(backend.endpoints[0].server, std::nullopt);
}

TEST(BackendDefinition, TheLaunchScriptMustBeAnExecutableFileInsideTheFolder) {
  namespace fs = std::filesystem;
  BackendFolders folders;
  auto load = [&](const std::string& script) {
    auto definition = with("/launch/script", script).dump();
    auto loaded = load_backend(folders.add("small", definition));
    return loaded ? "" : loaded.error().message;
  };
  std::string folder = folders.add("small", "{}");
  std::ofstream(folder + "/plain.sh") << "#!/bin/sh\n";
  fs::create_directory(folder + "/scripts");
  fs::create_symlink("/bin/sh", folder + "/link.sh");
  fs::create_symlink("launch.sh", folder + "/inner.sh");
  EXPECT_EQ(load("launch.sh"), "");
  EXPECT_EQ(load("scripts/../launch.sh"), "");
  EXPECT_EQ(load("inner.sh"), "");
  EXPECT_THAT(load("missing.sh"), HasSubstr("/launch/script: must be a file in the backend's folder"));
  EXPECT_THAT(load("plain.sh"), HasSubstr("must be an executable file"));
  EXPECT_THAT(load("scripts"), HasSubstr("must be an executable file"));
  EXPECT_THAT(load("/bin/sh"), HasSubstr("must stay inside"));
  EXPECT_THAT(load("link.sh"), HasSubstr("must stay inside"));
  folders.add("small2", "{}");
  EXPECT_THAT(load("../small2/launch.sh"), HasSubstr("must stay inside"));
}

TEST(BackendDefinition, AFolderThatIsMissingOrEmptyIsAnError) {
  BackendFolders folders;
  EXPECT_THAT(load_backend(folders.root() + "/none").error().message, HasSubstr("cannot load the backend"));
  EXPECT_THAT(load_backend(folders.root()).error().message, HasSubstr("backend.json: cannot be read"));
}

TEST(BackendSearch, TheFirstFolderWithThatNameCounts) {
  BackendFolders own, installed;
  own.add("tgi", "{}");
  installed.add("tgi", "{}");
  std::string toy = installed.add("toy", "{}");
  std::filesystem::create_directory(own.root() + "/toy");
  EXPECT_EQ(find_backend("tgi", {own.root(), installed.root()}).value(), own.root() + "/tgi");
  EXPECT_EQ(find_backend("toy", {own.root(), installed.root()}).value(), toy);
}

TEST(BackendSearch, AnUnknownNameListsTheKnownOnes) {
  BackendFolders folders;
  folders.add("sdauto", "{}");
  folders.add("ooba", "{}");
  std::string message = find_backend("sdato", {"/no/such/folder", folders.root()}).error().message;
  EXPECT_THAT(message, HasSubstr("cannot find the backend \"sdato\"; did you mean \"sdauto\"?"));
  EXPECT_THAT(message, HasSubstr("(known: ooba sdauto)"));
  EXPECT_FALSE(find_backend("", {folders.root()}));
  EXPECT_FALSE(find_backend("..", {folders.root() + "/ooba"}));
  EXPECT_FALSE(find_backend("../ooba", {folders.root() + "/sdauto"}));
  EXPECT_THAT(find_backend("x", {"/no/such/folder"}).error().message,
              HasSubstr("no backend in /no/such/folder"));
}

// The proxy is started again while somebody edits the folder, or after it is gone.
TEST(BackendDefinition, ThePartForTheProxyNeedsNothingElse) {
  json definition = small_backend();
  definition["server"]["parallel"] = false;
  const json part = part_for_proxy(definition);
  const auto read = read_part_for_proxy(part, "there");
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(read->server.port, 5001);
  EXPECT_EQ(read->max_concurrency, 1);
  EXPECT_NE(read->find_endpoint("POST", "/generate"), nullptr);
  const auto refused = read_part_for_proxy(json::object(), "there");
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().message, "there: /: needs a member \"server\"");
}

}  // namespace
}  // namespace cppworker
