// What becomes of a worker whose model or supervisor fails for good.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <csignal>
#include <filesystem>
#include <fstream>
#include <thread>

#include "common/text.hpp"
#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

// What follows `start` in those lines of the file that begin with it.
std::vector<std::string> lines_of(const std::string& path, const std::string& start) {
  std::vector<std::string> found;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);)
    if (line.starts_with(start)) found.push_back(line.substr(start.size()));
  return found;
}

std::vector<std::string> files_in(const std::string& folder) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const auto& entry : std::filesystem::directory_iterator(folder, ignored))
    files.push_back(entry.path().string());
  std::sort(files.begin(), files.end());
  return files;
}

// The proxy that comes after this one's death, as soon as it serves.
json next_proxy(Worker& worker) {
  const json before = worker.status();
  ::kill(before["proxy"]["pid"], SIGKILL);
  return worker.wait_for_status([&](const json& status) {
    return status["proxy"]["pid"] != before["proxy"]["pid"] && status["proxy"]["state"] == "ready";
  });
}

const json kTwoFailuresAreEnough = {{"restart", {{"give_up", {{{"failures", 2}, {"window_s", 60}}}}}}};

// Else an instance is billed for days, and the autoscaler hears nothing of it.
TEST(Supervision, GivesUpOnAModelThatNeverRunsAndSaysWhy) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho CUDA error: no device\nexit 3\n", kTwoFailuresAreEnough);
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  EXPECT_EQ(worker.process().wait_for_exit(), 70) << worker.process().output();
  const json reports = autoscaler.reports();
  ASSERT_FALSE(reports.empty());
  EXPECT_THAT(
      reports.back()["error_msg"].get<std::string>(),
      HasSubstr("the model failed: the process ended: exit code 3; given up after 2 failures within 1 min"));
  EXPECT_THAT(worker.tree(), ::testing::IsEmpty());
}

TEST(Supervision, GivesUpAlsoOnAModelThatCannotBeStarted) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/nowhere/sh\n", kTwoFailuresAreEnough);
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  EXPECT_EQ(worker.process().wait_for_exit(), 70) << worker.process().output();
  EXPECT_THAT(autoscaler.reports().back()["error_msg"].get<std::string>(),
              HasSubstr("it could not be started"));
}

// Two inference servers on one GPU run out of memory, both.
TEST(Supervision, EndsWhatAKilledPredecessorLeftBeforeItLaunchesAnything) {
  Autoscaler autoscaler;
  BackendFolder backend(
      "#!/bin/sh\n"
      "setsid sh -c 'trap \"\" TERM; echo escaped $$; while :; do sleep 1; done' &\n"
      "echo launched $$\nexec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  auto escapee = [&]() -> pid_t {
    for (const std::string& line : lines_of(worker.folder() + "/run/logs/model.log", "escaped "))
      return std::atoi(line.c_str());
    return -1;
  };
  ASSERT_TRUE(eventually([&] { return escapee() > 0; }));
  const pid_t escaped = escapee();
  worker.process().signal(SIGKILL);
  worker.process().wait_for_exit();
  const auto launched = lines_of(worker.folder() + "/run/logs/model.log", "launched ");
  ASSERT_FALSE(launched.empty());
  EXPECT_TRUE(eventually([&] { return ::kill(std::atoi(launched[0].c_str()), 0) != 0; }))
      << "the kernel ends what the supervisor itself has started";
  ASSERT_EQ(::kill(escaped, 0), 0) << "nobody has ended it, or this proves nothing";

  worker.start_again();
  EXPECT_THAT(worker.process().output(), HasSubstr("is left of the model of a worker that was killed"));
  EXPECT_TRUE(eventually([&] { return ::kill(escaped, 0) != 0; }));
  worker.process().signal(SIGTERM);
  EXPECT_EQ(worker.process().wait_for_exit(), 0);
  EXPECT_THAT(worker.tree(), ::testing::IsEmpty());
}

TEST(Supervision, LaunchesNothingWhileAStrangerHasThePort) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\nexec sleep 1000\n", kTwoFailuresAreEnough);
  json settings = backend.settings();
  settings["server_url"] = "http://127.0.0.1:" + std::to_string(autoscaler.port());
  Worker worker(autoscaler, backend.name(), {}, settings);
  EXPECT_EQ(worker.process().wait_for_exit(), 70);
  EXPECT_THAT(worker.process().output(),
              HasSubstr("cannot use port " + std::to_string(autoscaler.port()) + ": process "));
}

TEST(Supervision, LeavesAPostMortemOfEachFailure) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho loading; echo RuntimeError: no kernel image; kill -SEGV $$\n",
                        kTwoFailuresAreEnough);
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  EXPECT_EQ(worker.process().wait_for_exit(), 70);
  const auto files = files_in(worker.folder() + "/run/postmortem");
  ASSERT_EQ(files.size(), 2u);
  const json last = json::parse(read_file(files.back(), 1 << 20).value());
  EXPECT_EQ(last["launch"], 2);
  EXPECT_EQ(last["cause"], "exit");
  EXPECT_EQ(last["exit"]["signal"], SIGSEGV);
  EXPECT_EQ(last["last_lines"].back(), "RuntimeError: no kernel image");
  EXPECT_EQ(last["summary"], autoscaler.reports().back()["error_msg"]);
  EXPECT_EQ(last.dump().find("master-token-of-the-test"), std::string::npos);
}

TEST(Supervision, RunsTheBackendsHooks) {
  Autoscaler autoscaler;
  BackendFolder backend(
      "#!/bin/sh\nif [ -n \"$CPPWORKER_HOOK\" ]; then\n"
      "  echo \"$CPPWORKER_HOOK $CPPWORKER_CAUSE $CPPWORKER_ATTEMPT ${CPPWORKER_PID:+pid}\"\n  exit 0\nfi\n"
      "echo ready; exec sleep 1000\n",
      {{"hooks",
        {{"pre_start", {{"command", "launch.sh"}}},
         {"post_ready", {{"command", "launch.sh"}}},
         {"pre_stop", {{"command", "launch.sh"}}},
         {"post_exit", {{"command", "launch.sh"}}}}}});
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  EXPECT_TRUE(worker.process().wait_for_line("hook pre_start: pre_start none 1"));
  EXPECT_TRUE(worker.process().wait_for_line("hook post_ready: post_ready none 1 pid"));
  worker.process().signal(SIGTERM);
  EXPECT_TRUE(worker.process().wait_for_line("hook pre_stop: pre_stop none 1 pid"));
  EXPECT_TRUE(worker.process().wait_for_line("hook post_exit: post_exit none 1 pid"));
  EXPECT_EQ(worker.process().wait_for_exit(), 0);
}

// Clients wait in the backlog of a socket that nobody accepts from any more.
TEST(Supervision, GivesUpOnAProxyThatDiesAgainAndAgainAndSaysWhy) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  json settings = backend.settings();
  settings["proxy_failures"] = 3;
  Worker worker(autoscaler, backend.name(), {}, settings);
  for (int i = 0; i < 2; ++i) ASSERT_FALSE(next_proxy(worker).is_null()) << worker.process().output();
  const pid_t last = worker.status()["proxy"]["pid"];
  ::kill(last, SIGKILL);
  EXPECT_EQ(worker.process().wait_for_exit(), 73) << worker.process().output();
  EXPECT_THAT(worker.tree(), ::testing::IsEmpty()) << "the model has been stopped";
  EXPECT_THAT(autoscaler.reports().back()["error_msg"].get<std::string>(),
              HasSubstr("the proxy failed: the process ended: signal 9 (SIGKILL); given up after 3 failures "
                        "within 10 min"));
}

// Settings are changed under load: no request fails, no stream is cut, the model isn't touched.
TEST(Supervision, ReloadsUnderLoadWithoutAClientNoticing) {
  Autoscaler autoscaler;
  Worker worker(autoscaler, "tgi");
  ASSERT_FALSE(
      autoscaler.wait_for_report([](const json& report) { return report["loadtime"].get<double>() > 0; })
          .is_null())
      << worker.process().output();
  auto body = [&](const std::string& prompt) {
    return json{{"auth_data", autoscaler.route({{"covers", "url"}})},
                {"payload", {{"inputs", prompt}, {"parameters", {{"max_new_tokens", 8}}}}}}
        .dump();
  };
  ASSERT_TRUE(eventually([&] { return post(worker.port(), "/generate", body("Once")).status == 200; }));
  const json before = worker.status();

  std::atomic<bool> over = false;
  std::atomic<int> served = 0, failed = 0;
  std::vector<std::thread> clients;
  for (int i = 0; i < 3; ++i)
    clients.emplace_back([&, text = body("sleep:20")] {
      while (!over) (post(worker.port(), "/generate", text).status == 200 ? served : failed)++;
    });
  Streamed stream;
  std::thread streamer(
      [&, text = body("hold")] { stream = post_streamed(worker.port(), "/generate_stream", text); });
  ASSERT_TRUE(eventually([&] { return served > 20; }));

  json settings = json::parse(read_file(worker.folder() + "/cppworker.json", 1 << 16).value());
  settings["proxy"] = {{"max_queue", 77}};
  settings["port"] = 4000;
  std::ofstream(worker.folder() + "/cppworker.json") << settings.dump();
  worker.process().signal(SIGHUP);
  EXPECT_TRUE(worker.process().wait_for_line("has taken over from"));
  const int at_takeover = served;
  EXPECT_TRUE(eventually([&] { return served > at_takeover + 20; }));
  EXPECT_EQ(worker.status()["proxy"]["retiring"], 1) << "as long as its stream goes on";
  post(worker.server_port(), "/stand_in/release", "");
  streamer.join();
  over = true;
  for (std::thread& client : clients) client.join();
  EXPECT_EQ(failed, 0);
  EXPECT_TRUE(stream.complete) << "it was begun by the old proxy, and ended by it";
  EXPECT_EQ(stream.status, 200);

  EXPECT_TRUE(eventually([&] { return worker.status()["proxy"]["retiring"] == 0; }));
  const json after = worker.status();
  EXPECT_NE(after["proxy"]["pid"], before["proxy"]["pid"]);
  EXPECT_EQ(after["model"]["pid"], before["model"]["pid"]);
  EXPECT_EQ(after["books"]["errored"]["requests"], 0);
  EXPECT_EQ(after["books"]["in_flight"]["requests"], 0);
  worker.process().signal(SIGTERM);
  EXPECT_EQ(worker.process().wait_for_exit(), 0);
  EXPECT_THAT(worker.process().output(), HasSubstr("Reload: proxy/max_queue has changed"));
  EXPECT_THAT(worker.process().output(), HasSubstr("Reload: port has changed; that needs a restart"));
  EXPECT_THAT(worker.tree(), ::testing::IsEmpty());
}

TEST(Supervision, ChangesNothingByAFileThatIsWrong) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  const json before = worker.status();
  const std::string file = worker.folder() + "/cppworker.json";
  const std::string good = read_file(file, 1 << 16).value();
  std::ofstream(file) << "{\"max_queu\": 1}";
  worker.process().signal(SIGHUP);
  EXPECT_TRUE(worker.process().wait_for_line("Cannot reload: "));
  std::ofstream(file) << good;
  backend.write({{"endpoints", 3}});
  worker.process().signal(SIGHUP);
  EXPECT_TRUE(worker.process().wait_for_line("backend.json: /endpoints"));
  EXPECT_EQ(worker.status()["proxy"]["pid"], before["proxy"]["pid"]);
  EXPECT_EQ(worker.status()["model"]["pid"], before["model"]["pid"]);

  // The file is as wrong as before: a proxy that crashes now comes back all the same, and the model stays.
  const json after = next_proxy(worker);
  ASSERT_FALSE(after.is_null()) << worker.process().output();
  EXPECT_EQ(after["model"]["pid"], before["model"]["pid"]);
  EXPECT_EQ(get(worker.port(), "/ping").body, "pong");
}

TEST(Supervision, AnswersTheSignalsOfOperators) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; while :; do echo tick; sleep 0.1; done\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  worker.process().signal(SIGUSR1);
  const auto state = worker.process().wait_for_line("State: {");
  ASSERT_TRUE(state);
  EXPECT_THAT(*state, HasSubstr("\"backend\":\"own\""));
  const std::string log = worker.folder() + "/run/logs/model.log";
  ASSERT_TRUE(eventually([&] { return std::filesystem::exists(log); }));
  std::filesystem::rename(log, log + ".moved");
  worker.process().signal(SIGUSR2);
  EXPECT_TRUE(eventually([&] { return std::filesystem::exists(log); }));
  worker.process().signal(SIGHUP);
  EXPECT_TRUE(worker.process().wait_for_line("Reload: nothing has changed"));
}

// A proxy without signatures says so in its first line.
const std::map<std::string, std::string> kChattyProxy = {{"UNSECURED", "true"}};

// Symptom: each proxy died of SIGPIPE with its first line, until the worker gave up.
TEST(Supervision, OutlivesWhoeverReadItsLog) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), kChattyProxy, backend.settings());
  worker.process().close_output();
  EXPECT_FALSE(next_proxy(worker).is_null());
  worker.process().signal(SIGTERM);
  EXPECT_EQ(worker.process().wait_for_exit(), 0);
}

// Symptom: the loop hung in a write; with it /livez, SIGTERM, and the model in its own output.
TEST(Supervision, WaitsForNobodyWhoReadsItsLog) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  json settings = backend.settings();
  settings["proxy"]["access_log"] = true;
  Worker worker(autoscaler, backend.name(), kChattyProxy, settings);
  worker.process().fill_output();
  const json proxy = next_proxy(worker);
  ASSERT_FALSE(proxy.is_null());
  // More of them, each with its line, than the proxy has threads.
  for (int i = 0; i < 5; ++i) EXPECT_EQ(get(worker.port(), "/ping").body, "pong");
  EXPECT_EQ(get(worker.admin_port(), "/livez").status, 200);
  EXPECT_EQ(worker.status()["proxy"]["pid"], proxy["proxy"]["pid"])
      << "a thread of it hung, and it was replaced";
  worker.process().signal(SIGTERM);
  EXPECT_TRUE(eventually([&] { return worker.process().has_ended(); }));
}

// Symptom: /status and the reports had "error_msg": "" while no client got through.
TEST(Supervision, SaysThatNobodyIsServedWhileNoProxyComesUp) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  const auto ready = [](const json& status) { return status["state"] == "ready"; };
  const json before = worker.wait_for_status(ready);
  ASSERT_FALSE(before.is_null());
  const std::string ledger = worker.folder() + "/run/ledger";
  std::filesystem::rename(ledger, ledger + ".moved");
  ::kill(before["proxy"]["pid"], SIGKILL);
  const auto says = [](const json& text) {
    return text.get<std::string>().find("the proxy failed: the process ended: exit code 69") == 0;
  };
  EXPECT_FALSE(worker.wait_for_status([&](const json& status) { return says(status["error"]); }).is_null());
  EXPECT_NE(worker.status()["state"], "ready");
  EXPECT_EQ(get(worker.admin_port(), "/readyz").status, 503);
  EXPECT_FALSE(
      autoscaler.wait_for_report([&](const json& report) { return says(report["error_msg"]); }).is_null());
  std::filesystem::rename(ledger + ".moved", ledger);
  EXPECT_FALSE(worker.wait_for_status(ready).is_null());
}

TEST(Supervision, ReloadsOnceMoreWhenAReloadIsUnderWay) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho ready; exec sleep 1000\n");
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  const std::string file = worker.folder() + "/cppworker.json";
  json settings = json::parse(read_file(file, 1 << 16).value());
  for (const int most : {5, 6}) {
    settings["proxy"]["max_queue"] = most;
    std::ofstream(file) << settings.dump();
    worker.process().signal(SIGHUP);
    // As soon as the new proxy is started; it takes a while to come up.
    EXPECT_TRUE(most == 6 || worker.process().wait_for_line("Reload: proxy/max_queue has changed"));
  }
  EXPECT_TRUE(worker.process().wait_for_line("Reload: proxy/max_queue has changed"));
  EXPECT_EQ(json::parse(read_file(worker.folder() + "/run/proxy.json", 1 << 20).value())["max_queue"], 6);
}

}  // namespace
}  // namespace cppworker::testing
