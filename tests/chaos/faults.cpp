#include "faults.hpp"

#include <sys/mount.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <future>

#include "common/text.hpp"
#include "tests/common/test_certificates.hpp"
#include "tls_exchange.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;

// Requests that the server has, and hasn't answered a byte to, when it dies.
constexpr int kWitnesses = 4;
// How many requests ask for a failing answer; below the row of errors that restarts a server.
constexpr int kFailingAnswers = 5;
// Enough for the worker's log of their lines to be written many times over.
constexpr int kServedOnFullDisk = 20;
// Quickly filled.
constexpr char kSmallDisk[] = "size=16k";

Verdict failed(std::string text) {
  return {Verdict::kFailed, std::move(text)};
}

Verdict wait_for_relaunch(World& world, const std::string& service, int before) {
  if (!eventually([&] { return world.launches(service) > before; }))
    return failed(service + " wasn't relaunched");
  if (!eventually([&] { return well(world); })) return failed("not ready again");
  return {Verdict::kRecovered, service + " relaunched"};
}

Verdict signal_service(World& world, const std::string& service, int signal) {
  const int before = world.launches(service);
  const pid_t pid = world.pid_of(service);
  if (pid <= 0) return failed("there is no " + service);
  ::kill(pid, signal);
  return wait_for_relaunch(world, service, before);
}

bool server_has_witnesses(World& world, const std::string& prompt) {
  const json state = testing::get(world.worker.server_port(), "/stand_in/requests?path=/generate").json();
  if (!state.is_object()) return false;
  return std::ranges::count_if(state["requests"], [&](const json& request) {
           return request["outcome"] == "open" &&
                  request["body"].get_ref<const std::string&>().find(prompt) != std::string::npos;
         }) == kWitnesses;
}

// The promise is to requests that had received no byte: these are known to be such, whatever the machine's
// speed.
Verdict kill_model(World& world) {
  const std::string prompt = "sleep:3000 a witness of launch " + std::to_string(world.launches("model"));
  std::vector<std::future<Result>> witnesses;
  for (int i = 0; i < kWitnesses; ++i)
    witnesses.push_back(std::async(std::launch::async, [&] { return ask(world, {.prompt = prompt}); }));
  const bool there = eventually([&] { return server_has_witnesses(world, prompt); });
  Verdict verdict = signal_service(world, "model", SIGKILL);
  for (auto& witness : witnesses) {
    const Result result = witness.get();
    if (result.outcome != Outcome::kServed)
      verdict = failed("a request without a byte saw the model's death: " + result.detail);
  }
  if (!there) return failed("the server never had all witnesses");
  if (verdict.kind == Verdict::kRecovered)
    verdict.text += ", " + std::to_string(kWitnesses) + " requests without a byte were served after it";
  return verdict;
}

Verdict kill_proxy(World& world) {
  return signal_service(world, "proxy", SIGKILL);
}

Verdict stop_model(World& world) {
  return signal_service(world, "model", SIGSTOP);
}

Verdict stop_proxy(World& world) {
  return signal_service(world, "proxy", SIGSTOP);
}

// The stand-in goes on without its shard, as it is a mere process: the worker must leave it alone.
Verdict kill_grandchild(World& world) {
  const json shards = world.server_state()["shards"];
  if (shards.empty()) return failed("the server has no shards");
  const int before = world.launches("model");
  ::kill(shards[0].get<pid_t>(), SIGKILL);
  if (!eventually([&] { return well(world); })) return failed("not ready");
  return {Verdict::kRecovered,
          world.launches("model") == before ? "the server lives on" : "model relaunched"};
}

// Alive, its loop stuck: it takes connections, answers nothing, and doesn't hear SIGTERM.
Verdict hang_model(World& world) {
  const int before = world.launches("model");
  // Nobody answers this one, either.
  std::thread asker([&] { testing::post(world.worker.server_port(), "/stand_in/crash", "hang"); });
  Verdict verdict = wait_for_relaunch(world, "model", before);
  asker.join();
  return verdict;
}

Verdict failing_answers(World& world, const std::string& wish, bool stream, Outcome wanted, int status) {
  for (int i = 0; i < kFailingAnswers; ++i) {
    const Result result = ask(world, {.stream = stream, .prompt = wish});
    if (result.outcome != wanted || result.status != status)
      return failed(wish + " was " + std::string(name_of(result.outcome)) + ": " + result.detail);
  }
  if (!eventually([&] { return well(world); })) return failed("not ready");
  return {Verdict::kRecovered, std::to_string(kFailingAnswers) + " answers passed on as they were"};
}

Verdict answer_500(World& world) {
  return failing_answers(world, "error:500", false, Outcome::kRefused, 500);
}

Verdict break_off_bodies(World& world) {
  const Verdict first = failing_answers(world, "error:break", false, Outcome::kCut, 200);
  return first.kind == Verdict::kRecovered ? failing_answers(world, "error:break", true, Outcome::kCut, 200)
                                           : first;
}

bool logs_line(World& world, const std::string& folder, const std::string& line) {
  testing::post(world.worker.server_port(), "/stand_in/log", line);
  return read_file(folder + "/model.log", 16 << 20).value_or("").find(line) != std::string::npos;
}

// To its last byte.
void fill(const std::string& folder) {
  std::ofstream filler(folder + "/filler", std::ios::binary);
  const std::string page(4096, 'x');
  while (filler << page << std::flush) {
  }
}

// The log is opened by its name again, on the full disk; what it is given is lost, and requests are served.
Verdict log_to_full_disk(World& world, const std::string& folder) {
  world.worker.process().signal(SIGUSR2);
  const std::string lost = "a line for a full disk";
  if (!eventually([&] {
        testing::post(world.worker.server_port(), "/stand_in/log", lost);
        return std::filesystem::exists(folder + "/model.log");
      }))
    return failed("the log was never opened on the full disk");
  for (int i = 0; i < kServedOnFullDisk; ++i)
    if (!eventually([&] { return well(world); })) return failed("not ready with a full disk");
  if (logs_line(world, folder, lost)) return failed("the disk wasn't full: this proves nothing");
  return {Verdict::kRecovered, "served all along, the log went on afterwards"};
}

// A small disk is mounted over the log folder, filled, and taken away again.
Verdict fill_disk(World& world) {
  if (::geteuid() != 0) return {Verdict::kSkipped, "only root may mount a disk that can be filled"};
  const std::string folder = world.worker.folder() + "/run/logs";
  if (::mount("tmpfs", folder.c_str(), "tmpfs", 0, kSmallDisk) != 0)
    return {Verdict::kSkipped, "no disk can be mounted here"};
  fill(folder);
  Verdict verdict = log_to_full_disk(world, folder);
  ::umount2(folder.c_str(), MNT_DETACH);
  world.worker.process().signal(SIGUSR2);
  if (!eventually([&] { return logs_line(world, folder, "a line after the full disk"); }))
    return failed("the log isn't written again");
  return verdict;
}

// One whole report is lost, and the first try of the next one.
Verdict fail_autoscaler(World& world, int status) {
  const std::size_t heard = world.autoscaler.reports().size();
  testing::post(world.autoscaler.port(), "/fail",
                json{{"path", "/worker_status/"}, {"times", 4}, {"status", status}}.dump());
  testing::post(world.autoscaler.port(), "/fail",
                json{{"path", "/delete_requests/"}, {"times", 2}, {"status", status}}.dump());
  if (!eventually([&] { return world.autoscaler.reports().size() > heard + 2; }))
    return failed("no report came any more");
  return {Verdict::kRecovered, "reports go on"};
}

Verdict autoscaler_answers_500(World& world) {
  return fail_autoscaler(world, 500);
}

Verdict autoscaler_hangs_up(World& world) {
  return fail_autoscaler(world, 0);
}

Verdict rotate_certificate(World& world) {
  static int number = 0;
  const std::string name = "rotated-" + std::to_string(++number);
  const TestKey key = make_ec_key();
  std::ofstream(world.worker.folder() + "/instance.key") << private_pem(key.get());
  std::ofstream(world.worker.folder() + "/instance.crt") << self_signed(key, {.name = name});
  if (!eventually([&] { return certificate_shown(world.worker.port()) == name; }))
    return failed("the new certificate isn't shown");
  if (!eventually([&] { return well(world); })) return failed("not ready");
  return {Verdict::kRecovered, "the new one is shown"};
}

// Signatures of the new key are refused until the worker has asked for it.
Verdict rotate_key(World& world) {
  testing::post(world.autoscaler.port(), "/rotate_key", "");
  if (!eventually([&] { return well(world); })) return failed("the new key's signatures are still refused");
  return {Verdict::kRecovered, "the new key was fetched"};
}

}  // namespace

bool well(World& world) {
  return world.ready() && ask(world, {}).outcome == Outcome::kServed;
}

const std::vector<Fault>& all_faults() {
  static const std::vector<Fault> faults = {
      {"kill -9 the model", {.refused = true, .cut = true}, kill_model},
      {"kill -9 the proxy", {.refused = true, .cut = true, .lost = true}, kill_proxy},
      {"kill -9 a grandchild", {}, kill_grandchild},
      {"SIGSTOP the model", {.refused = true, .cut = true}, stop_model},
      {"SIGSTOP the proxy", {.refused = true, .cut = true, .lost = true}, stop_proxy},
      {"the model hangs", {.refused = true, .cut = true}, hang_model},
      {"the model answers 500", {}, answer_500},
      {"the model breaks off", {}, break_off_bodies},
      {"the log's disk is full", {}, fill_disk},
      {"the autoscaler answers 500", {}, autoscaler_answers_500},
      {"the autoscaler hangs up", {}, autoscaler_hangs_up},
      {"another certificate", {}, rotate_certificate},
      {"another key", {.refused = true}, rotate_key}};
  return faults;
}

}  // namespace cppworker::chaos
