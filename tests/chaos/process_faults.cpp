// Faults of the worker's processes: the inference server, the proxy, the supervisor.
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <future>

#include "fault_kinds.hpp"
#include "tls_exchange.hpp"

namespace cppworker::chaos {
namespace {

using nlohmann::json;

// Requests that the server has, and hasn't answered a byte to, when it dies.
constexpr int kWitnesses = 4;
// How many requests ask for a failing answer; below the row of errors that restarts a server.
constexpr int kFailingAnswers = 5;
constexpr char kGetInfo[] = "GET /info HTTP/1.1\r\nHost: chaos\r\nConnection: close\r\n\r\n";

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

Verdict failing_answers(World& world, const std::string& wish, bool stream, Outcome wanted, int status) {
  for (int i = 0; i < kFailingAnswers; ++i) {
    const Result result = ask(world, {.stream = stream, .prompt = wish});
    if (result.outcome != wanted || result.status != status)
      return failed(wish + " was " + std::string(name_of(result.outcome)) + ": " + result.detail);
  }
  if (!eventually([&] { return well(world); })) return failed("not ready");
  return {Verdict::kRecovered, std::to_string(kFailingAnswers) + " answers passed on as they were"};
}

}  // namespace

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
  const std::string spent = spent_request(world);
  if (spent.empty()) return failed("nothing was served before");
  Verdict verdict = signal_service(world, "proxy", SIGKILL);
  if (verdict.kind != Verdict::kRecovered) return verdict;
  if (!refuses_replay(world, spent)) return failed("the next proxy takes what the one before has served");
  verdict.text += ", which refuses what the one before has served";
  return verdict;
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

Verdict answer_500(World& world) {
  return failing_answers(world, "error:500", false, Outcome::kRefused, 500);
}

// As after a CUDA error that stays: its health is as before.
Verdict answer_nothing_but_500(World& world) {
  const int before = world.launches("model");
  testing::post(world.worker.server_port(), "/stand_in/crash", "sticky");
  return wait_for_relaunch(world, "model", before);
}

Verdict break_off_bodies(World& world) {
  const Verdict first = failing_answers(world, "error:break", false, Outcome::kCut, 200);
  return first.kind == Verdict::kRecovered ? failing_answers(world, "error:break", true, Outcome::kCut, 200)
                                           : first;
}

// Takes GET /info into service, or out of it. The old proxy goes on with what it has: nothing may fail.
Verdict reload_definition(World& world) {
  static bool with_info = false;
  with_info = !with_info;
  const pid_t before = world.pid_of("proxy");
  world.reload(with_info);
  if (!eventually([&] {
        const pid_t now = world.pid_of("proxy");
        return now > 0 && now != before;
      }))
    return failed("no new proxy came");
  const auto is_gone = [&] {
    const json status = world.status();
    return !status.is_null() && status["proxy"]["retiring"] == 0 && ::kill(before, 0) != 0;
  };
  if (!eventually(is_gone)) return failed("the old proxy stays");
  const bool served = exchange(world.port(), kGetInfo).bytes.starts_with("HTTP/1.1 200");
  if (served != with_info) return failed("the new definition isn't in use");
  if (!eventually([&] { return well(world); })) return failed("not ready");
  return {Verdict::kRecovered, "in use, the old proxy finished what it had"};
}

// Between two reports: one that the autoscaler took, and the worker didn't live to note as taken, is sent
// again by the next supervisor, in the protocol's terms as another one. The reports are a second apart.
Verdict kill_supervisor(World& world) {
  const json left = world.server_state();
  std::vector<pid_t> leftovers = left.at("shards").get<std::vector<pid_t>>();
  leftovers.push_back(left.at("pid").get<pid_t>());
  const auto acknowledged = [&] {
    const json status = world.status();
    return status.is_null() ? 0 : status["reports"]["acknowledged"].get<std::uint64_t>();
  };
  const std::string spent = spent_request(world);
  if (spent.empty()) return failed("nothing was served before");
  const std::uint64_t before = acknowledged();
  if (!eventually([&] { return acknowledged() > before; })) return failed("no report came");
  world.replace_supervisor();
  if (!eventually([&] { return well(world); })) return failed("not ready again");
  if (!refuses_replay(world, spent)) return failed("the next one takes what the one before has served");
  const std::vector<pid_t> alive = world.worker.tree();
  for (const pid_t pid : leftovers)
    if (std::ranges::find(alive, pid) != alive.end())
      return failed("process " + std::to_string(pid) + " of the old one's is still there");
  return {Verdict::kRecovered, "another ended what was left, and goes on with the books"};
}

}  // namespace cppworker::chaos
