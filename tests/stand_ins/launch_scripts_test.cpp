// Each launch script with the stand-in in the real program's place: its command line, its variables, its
// ready line.

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <re2/re2.h>
#include <signal.h>

#include <filesystem>
#include <fstream>

#include "common/text.hpp"
#include "tests/stand_ins/program.hpp"
#include "tests/stand_ins/wire.hpp"

namespace cppworker::stand_ins {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kLaunchers = std::string(CPPWORKER_SOURCE_DIR) + "/launchers";

// A folder with the stand-in under the real programs' names.
std::string shims() {
  const std::string folder = temporary_folder();
  for (const char* name : {"text-generation-launcher", "init.sh", "python3"}) {
    std::filesystem::create_symlink(std::string(CPPWORKER_BIN_DIR) + "/stand_in_server", folder + "/" + name);
  }
  return folder;
}

std::string path_with(const std::string& folder) {
  return folder + ":" + std::getenv("PATH");
}

Program launch(const std::string& backend, Program::Environment variables) {
  variables.try_emplace("SERVER_PORT", "0");
  return Program({kLaunchers + "/" + backend + "/launch.sh"}, variables);
}

// A program that prints its arguments and the named variables.
std::string printing_program(const std::string& name, const std::string& variables) {
  const std::string folder = temporary_folder();
  std::ofstream(folder + "/" + name) << "#!/bin/sh\necho \"args: $*\"\necho \"env: " << variables << "\"\n";
  std::filesystem::permissions(folder + "/" + name, std::filesystem::perms::owner_all);
  return folder;
}

// As the worker looks at a line: without its colours. The patterns are those that the backend ships.
bool matches(const std::string& backend, const std::string& which, const std::string& coloured) {
  std::string line = coloured;
  RE2::GlobalReplace(&line, "\x1b\\[[0-9;]*m", "");
  const std::string text = read_file(kLaunchers + "/" + backend + "/backend.json", 1 << 20).value_or("{}");
  const json definition = json::parse(text);
  for (const json& pattern : definition.at("log").at(which)) {
    const std::string regex = pattern.is_object() ? pattern.at("regex") : pattern;
    if (RE2::PartialMatch(line, regex)) return true;
  }
  return false;
}

bool is_ready_line(const std::string& backend, const std::string& line) {
  return matches(backend, "ready", line);
}

TEST(LaunchTgi, StartsTheLauncherOnLoopbackAndItsReadyLineIsKnown) {
  Program server = launch("tgi", {{"PATH", path_with(shims())}});
  EXPECT_TRUE(is_ready_line("tgi", server.wait_for_line("Connected")));
  EXPECT_THAT(get(server.wait_for_port(), "/health").text, StartsWith("HTTP/1.1 200"));
  server.signal(SIGTERM);  // reaches the server itself: the script ended in exec
  EXPECT_EQ(server.wait_for_exit(), 0);
}

// Of releases from 1.x to 3.x, as JSON and as text, which is coloured even in a file.
TEST(LaunchTgi, KnowsTheLinesOfItsReleases) {
  for (const std::string target : {"text_generation_router", "text_generation_router::server"}) {
    const std::string json_line = R"({"timestamp":"2024-02-21T05:10:01.304586Z","level":"INFO","message":")";
    const std::string json_end =
        R"(","target":")" + target + R"(","filename":"router/src/main.rs","line_number":247})";
    EXPECT_TRUE(is_ready_line("tgi", json_line + "Connected" + json_end)) << target;
    EXPECT_FALSE(is_ready_line("tgi", json_line + "Connected to nothing" + json_end)) << target;
    const std::string text = "\x1b[2m2024-09-03T02:47:53.402023Z\x1b[0m \x1b[32m INFO\x1b[0m \x1b[2m" +
                             target +
                             "\x1b[0m\x1b[2m:\x1b[0m \x1b[2mrouter/src/server.rs\x1b[0m\x1b[2m:\x1b[0m2311: ";
    EXPECT_TRUE(is_ready_line("tgi", text + "Connected")) << target;
    EXPECT_FALSE(is_ready_line("tgi", text + "Connected, says the prompt")) << target;
  }
  for (const std::string target : {"text_generation_router", "text_generation_router::server",
                                   "text_generation_router_v2", "text_generation_router_v3"}) {
    EXPECT_TRUE(
        matches("tgi", "capture",
                R"({"timestamp":"2024-02-21T05:10:01Z","level":"INFO","message":"Setting max batch total )"
                R"(tokens to 16000","target":")" +
                    target + R"("})"));
    EXPECT_TRUE(matches("tgi", "capture",
                        "2024-09-03T02:47:53.402023Z  INFO " + target +
                            ": backends/v3/src/lib.rs:125: Setting max batch total tokens to 16000"))
        << target;
  }
  // Rust's main says its error as plain text, whatever the log's format.
  for (const char* line : {"Error: DownloadError", "Error: ShardCannotStart", "Error: ShardDisconnected",
                           "Error: ShardFailed", "Error: WebserverFailed", "Error: WebserverCannotStart",
                           "Error: ArgumentValidation(\"`max_input_tokens` must be < `max_total_tokens`\")"})
    EXPECT_TRUE(matches("tgi", "fatal", line)) << line;
  EXPECT_FALSE(matches("tgi", "fatal", R"({"fields":{"message":"prompt: Error: ShardFailed"}})"));
}

TEST(LaunchTgi, TakesItsArgumentsFromTheFirstVariableThatIsSet) {
  const std::string folder =
      printing_program("text-generation-launcher", "$HF_TOKEN $HUGGING_FACE_HUB_TOKEN");
  const std::string fixed = " --json-output --port 7 --hostname 127.0.0.1";
  const std::vector<std::pair<Program::Environment, std::string>> cases{
      {{{"MODEL_ARGS", "--a *"}, {"MODEL_CMD", "--b"}, {"MODEL_ID", "c"}}, "--a *"},
      {{{"MODEL_ARGS", ""}, {"MODEL_CMD", "--b"}, {"MODEL_ID", "c"}}, "--b"},
      {{{"MODEL_ID", "c"}}, "--model-id c"},
      {{}, "--model-id TheBloke/Llama-2-7B-chat-GPTQ --quantize gptq"}};
  for (auto [variables, arguments] : cases) {
    variables["PATH"] = path_with(folder);
    variables["SERVER_PORT"] = "7";
    variables["HUGGING_FACE_HUB_TOKEN"] = "t";
    Program server = launch("tgi", variables);
    EXPECT_EQ(server.wait_for_line("args:"), "args: " + arguments + fixed);
    EXPECT_EQ(server.wait_for_line("env:"), "env: t t");
  }
}

TEST(LaunchSdauto, TurnsTheApiAndItsLogOn) {
  Program server = launch("sdauto", {{"SDAUTO_INIT", shims() + "/init.sh"}});
  const std::uint16_t port = server.wait_for_port();
  EXPECT_TRUE(is_ready_line("sdauto", server.wait_for_line("Model loaded")));
  EXPECT_TRUE(post(port, "/sdapi/v1/txt2img", "{}").parsed().contains("images"));
  EXPECT_THAT(server.wait_for_line("API "), HasSubstr("200 http/1.1 POST /sdapi/v1/txt2img"));
}

TEST(LaunchSdauto, LeavesTheUsersOwnFlagsAlone) {
  const std::string folder = printing_program("init", "$WEBUI_ARGS $WEBUI_PORT_LOCAL $PYTHONUNBUFFERED");
  Program server = launch("sdauto", {{"SDAUTO_INIT", folder + "/init"},
                                     {"WEBUI_ARGS", "--nowebui --api-log --medvram"},
                                     {"SERVER_PORT", "7"}});
  EXPECT_EQ(server.wait_for_line("env:"), "env: --nowebui --api-log --medvram 7 1");
}

TEST(LaunchOoba, DownloadsAMissingModelThenServesIt) {
  const std::string folder = temporary_folder();
  Program server = launch(
      "ooba",
      {{"OOBA_DIR", folder}, {"PATH", path_with(shims())}, {"MODEL_USER", "them"}, {"MODEL_NAME", "small"}});
  EXPECT_NE(server.wait_for_line("starting model download"), "");
  EXPECT_TRUE(is_ready_line("ooba", server.wait_for_line("Loaded the model")));
  EXPECT_EQ(get(server.wait_for_port(), "/api/v1/model").parsed()["result"], "them_small");
}

TEST(LaunchOoba, TakesBothDefaultsWhenEitherNameIsMissingAndSkipsTheDownload) {
  const std::string folder = temporary_folder();
  std::filesystem::create_directories(folder + "/models/TheBloke_Llama-2-13B-chat-GPTQ");
  const std::string python = printing_program("python", "$PYTHONUNBUFFERED") + "/python";
  Program server = launch(
      "ooba", {{"OOBA_DIR", folder}, {"OOBA_PYTHON", python}, {"MODEL_USER", "them"}, {"SERVER_PORT", "7"}});
  EXPECT_EQ(server.wait_for_line("args:"),
            "args: server.py --extensions api --api-blocking-port 7 --api-streaming-port 8 "
            "--model TheBloke_Llama-2-13B-chat-GPTQ");
  EXPECT_THAT(server.output(), Not(HasSubstr("download")));
}

TEST(LaunchOoba, DownloadsAgainWhatWasCutOff) {
  const std::string folder = temporary_folder();
  const Program::Environment variables{
      {"OOBA_DIR", folder}, {"PATH", path_with(shims())}, {"MODEL_USER", "them"}, {"MODEL_NAME", "small"}};
  auto failing = variables;
  failing["STAND_IN_FATAL_LINE"] = "no space left";
  Program first = launch("ooba", failing);
  EXPECT_THAT(first.wait_for_line("launch.sh:"), HasSubstr("the download of them/small failed"));
  EXPECT_EQ(first.wait_for_exit(), 75);
  std::filesystem::create_directories(folder + "/models/them_small");  // half of it
  Program second = launch("ooba", variables);
  EXPECT_NE(second.wait_for_line("starting model download"), "");
  EXPECT_NE(second.wait_for_port(), 0);
}

TEST(LaunchToy, ServesTheToyModelUntilItIsTerminated) {
  // The toy prints no port of its own, as TGI doesn't: so it gets one that was free a moment ago.
  asio::io_context io;
  std::uint16_t port =
      asio::ip::tcp::acceptor(io, {asio::ip::address_v4::loopback(), 0}).local_endpoint().port();
  Program server = launch("toy", {{"TOY_SERVER", std::string(CPPWORKER_BIN_DIR) + "/cppworker-toy"},
                                  {"TOY_LOAD_MS", "0"},
                                  {"TOY_TOKEN_DELAY_MS", "0"},
                                  {"SERVER_PORT", std::to_string(port)}});
  EXPECT_TRUE(is_ready_line("toy", server.wait_for_line("Connected")));
  const std::string asked =
      R"({"inputs":"The night train","parameters":{"seed":4,"max_new_tokens":12,"details":true}})";
  const json answer = post(port, "/generate", asked).parsed();
  EXPECT_EQ(answer["details"]["generated_tokens"], 12);
  EXPECT_EQ(answer, post(port, "/generate", asked).parsed());  // the same seed, the same words
  const Reply stream = post(port, "/generate_stream", asked);
  EXPECT_THAT(stream.text, HasSubstr("\"generated_text\":" + answer["generated_text"].dump()));
  EXPECT_THAT(post(port, "/generate", R"({"inputs":"x","parameters":{"max_new_tokens":4000}})").text,
              HasSubstr("`inputs` tokens and 4000 `max_new_tokens`"));
  EXPECT_THAT(post(port, "/generate", "{").text, StartsWith("HTTP/1.1 400 "));
  server.signal(SIGTERM);
  EXPECT_EQ(server.wait_for_exit(), 0);
}

TEST(LaunchScripts, SayWhatIsMissing) {
  Program server = launch("toy", {{"TOY_SERVER", "no-such-program"}});
  EXPECT_THAT(server.wait_for_line("launch.sh:"), StartsWith("launch.sh: cannot start the server: "));
  EXPECT_EQ(server.wait_for_exit(), 127);
}

}  // namespace
}  // namespace cppworker::stand_ins
