#include "worker_harness.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <csignal>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>

#include "common/text.hpp"

namespace cppworker::testing {
namespace {

namespace fs = std::filesystem;

const std::string kBin = CPPWORKER_BIN_DIR;
// Marks every process of one test's worker: children inherit it.
constexpr char kMark[] = "CPPWORKER_TEST_FOLDER";

std::uint16_t number_after(const std::string& line, const std::string& part) {
  return static_cast<std::uint16_t>(std::atoi(line.substr(line.find(part) + part.size()).c_str()));
}

// The programs that the launch scripts start, with the stand-in in their places.
std::map<std::string, std::string> stand_in_places(const std::string& folder) {
  std::string bin = folder + "/bin";
  fs::create_directories(bin);
  fs::create_directories(folder + "/ooba/models/TheBloke_Llama-2-13B-chat-GPTQ");
  std::ofstream(folder + "/ooba/server.py") << "# the stand-in takes this place\n";
  for (const char* name : {"text-generation-launcher", "init.sh", "python3"})
    fs::create_symlink(kBin + "/stand_in_server", bin + "/" + name);
  return {{"PATH", bin + ":" + kBin + ":/usr/bin:/bin"},
          {"SDAUTO_INIT", bin + "/init.sh"},
          {"OOBA_DIR", folder + "/ooba"},
          {kMark, folder}};
}

}  // namespace

Autoscaler::Autoscaler() {
  process_ =
      std::make_unique<TestProcess>(std::vector<std::string>{kBin + "/stand_in_autoscaler", "--port", "0"},
                                    std::map<std::string, std::string>{{"PATH", "/usr/bin:/bin"}});
  auto line = process_->wait_for_line("listening on 127.0.0.1:");
  if (!line) throw std::runtime_error("the stand-in autoscaler didn't start: " + process_->output());
  port_ = number_after(*line, "listening on 127.0.0.1:");
}

nlohmann::json Autoscaler::route(nlohmann::json options) {
  if (!options.contains("endpoint")) options["endpoint"] = "my-endpoint";
  if (!options.contains("cost")) options["cost"] = 256;
  if (!options.contains("url")) options["url"] = kWorkerUrl;
  return post(port_, "/route/", options.dump()).json();
}

void Autoscaler::fail(const std::string& path, int times, int status) {
  const nlohmann::json order = {{"path", path}, {"times", times}, {"status", status}};
  if (post(port_, "/fail", order.dump()).status != 200) throw std::runtime_error("the autoscaler won't fail");
}

TemporaryFolder::TemporaryFolder() {
  std::string pattern = fs::temp_directory_path() / "cppworker-test-XXXXXX";
  if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp");
  path_ = pattern;
}

TemporaryFolder::~TemporaryFolder() {
  std::error_code ignored;
  fs::remove_all(path_, ignored);
}

BackendFolder::BackendFolder(const std::string& script, const nlohmann::json& definition) {
  fs::create_directories(*this / "");
  std::ofstream(*this / "launch.sh") << script;
  fs::permissions(*this / "launch.sh", fs::perms::owner_all);
  write(definition);
}

void BackendFolder::write(const nlohmann::json& definition) {
  nlohmann::json whole = {{"name", name()},
                          {"server", {{"url", "http://127.0.0.1:5001"}}},
                          {"launch", {{"script", "launch.sh"}}},
                          {"log", {{"ready", {"^ready$"}}}},
                          {"endpoints", {{{"method", "POST"}, {"path", "/generate"}, {"workload", 1}}}}};
  whole.update(definition);
  std::ofstream(*this / "backend.json") << whole.dump();
}

Worker::Worker(Autoscaler& autoscaler, const std::string& backend,
               std::map<std::string, std::string> variables, const nlohmann::json& own_settings) {
  server_port_ = free_port_pair();  // ooba streams on the second
  std::string config = folder() + "/cppworker.json";
  nlohmann::json settings = {{"listen_address", "127.0.0.1"},
                             {"port", 0},
                             {"admin_port", 0},
                             {"public_url", kWorkerUrl},
                             {"server_url", "http://127.0.0.1:" + std::to_string(server_port_)},
                             {"drain_timeout_s", 5}};
  settings.update(own_settings);
  std::ofstream(config) << settings.dump();
  ::mkfifo((folder() + "/gate").c_str(), 0600);

  std::map<std::string, std::string>& environment = environment_;
  environment = stand_in_places(folder());
  environment["BACKEND"] = backend;
  environment["CONTAINER_ID"] = "4711";
  environment["MASTER_TOKEN"] = "master-token-of-the-test";
  environment["REPORT_ADDR"] = autoscaler.url();
  environment["STAND_IN_LOAD_MS"] = "10";
  for (auto& [name, value] : variables) environment[name] = value == "GATE" ? folder() + "/gate" : value;

  start_again();
}

void Worker::start_again() {
  process_ = std::make_unique<TestProcess>(
      std::vector<std::string>{kBin + "/cppworker", "run", "--config", folder() + "/cppworker.json",
                               "--run-dir", folder() + "/run"},
      environment_);
  auto line = process_->wait_for_line("Serving on ");
  if (!line) throw std::runtime_error("the worker didn't start: " + process_->output());
  auto addresses = nlohmann::json::parse(read_file(folder() + "/run/addresses.json", 4096).value());
  port_ = addresses.at("port");
  session_port_ = addresses.at("session_port");
  admin_port_ = addresses.at("admin_port");
}

Worker::~Worker() {
  // What a failed test leaves behind must not disturb the next one.
  process_.reset();
  for (pid_t pid : tree()) ::kill(pid, SIGKILL);
}

std::string Worker::last_posted() {
  nlohmann::json seen = get(server_port(), "/stand_in/requests").json();
  std::string body;
  for (const auto& request : seen.at("requests"))
    if (request.at("method") == "POST") body = request.at("body");
  return body;
}

double Worker::metric(const std::string& series) {
  std::string text = get(admin_port_, "/metrics").body;
  std::size_t found = text.find("\n" + series + " ");
  return found == std::string::npos ? -1 : std::atof(text.c_str() + found + 1 + series.size());
}

void Worker::open_gate() {
  UniqueFd gate(::open((folder() + "/gate").c_str(), O_WRONLY | O_CLOEXEC));  // waits for the reader
  if (!gate || ::write(gate.get(), "!", 1) != 1) throw std::runtime_error("cannot open the gate");
}

std::vector<pid_t> Worker::tree() {
  std::vector<pid_t> pids;
  std::string mark = std::string(kMark) + "=" + folder();
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator("/proc", ignored)) {
    pid_t pid = std::atoi(entry.path().filename().c_str());
    if (pid <= 0 || pid == ::getpid()) continue;
    std::string environment = read_file(entry.path() / "environ", 1 << 20).value_or("");
    std::string command = read_file(entry.path() / "cmdline", 1 << 16).value_or("");
    if (environment.find(mark) != std::string::npos || command.find(folder()) != std::string::npos)
      pids.push_back(pid);
  }
  return pids;
}

}  // namespace cppworker::testing
