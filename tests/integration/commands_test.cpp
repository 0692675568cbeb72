// What `cppworker status`, `logs` and `why` say about a whole worker, and where there is none.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

struct Said {
  int code;
  std::string text;
};

Said ask(const std::string& run_dir, std::vector<std::string> command) {
  command.insert(command.begin(), std::string(CPPWORKER_BIN_DIR) + "/cppworker");
  command.insert(command.end(), {"--run-dir", run_dir});
  TestProcess process(command, {{"PATH", "/usr/bin:/bin"}});
  const int code = process.wait_for_exit().value_or(-1);
  return {code, process.output()};
}

TEST(Commands, SayInOneLineThatNoWorkerRunsThere) {
  const TemporaryFolder folder;
  for (const char* command : {"status", "logs", "why"}) {
    const Said said = ask(folder.path(), {command});
    EXPECT_EQ(said.code, 3) << command;
    EXPECT_THAT(said.text, HasSubstr("cppworker: no worker runs in " + folder.path())) << command;
    EXPECT_EQ(std::count(said.text.begin(), said.text.end(), '\n'), 1) << said.text;
  }
}

TEST(Commands, TellOfAWorkerItsModelAndItsLastFailure) {
  Autoscaler autoscaler;
  Worker worker(autoscaler, "tgi");
  const json ready = worker.wait_for_status([](const json& status) { return status["ready"] == true; });
  ASSERT_TRUE(ready.is_object()) << worker.process().output();
  const std::string run_dir = worker.folder() + "/run";

  const Said status = ask(run_dir, {"status"});
  EXPECT_EQ(status.code, 0);
  EXPECT_THAT(status.text, HasSubstr("backend tgi: ready"));
  EXPECT_THAT(status.text, HasSubstr("reports got through"));
  const json document = json::parse(ask(run_dir, {"status", "--json"}).text, nullptr, false);
  ASSERT_TRUE(document.is_object());
  EXPECT_EQ(document["model"]["state"], "ready");

  const Said all = ask(run_dir, {"logs"}), last = ask(run_dir, {"logs", "-n", "1"});
  EXPECT_THAT(all.text, HasSubstr("Connected"));
  EXPECT_EQ(std::count(last.text.begin(), last.text.end(), '\n'), 1);
  EXPECT_TRUE(all.text.ends_with(last.text)) << last.text;

  ::kill(ready["model"]["pid"].get<pid_t>(), SIGKILL);
  worker.wait_for_status([](const json& now) { return now["model"]["launches"] == 2; });
  const Said why = ask(run_dir, {"why"});
  EXPECT_EQ(why.code, 0);
  EXPECT_THAT(why.text, HasSubstr("the model failed: the process ended: signal 9 (SIGKILL)"));
  EXPECT_THAT(why.text, HasSubstr("next"));
}

}  // namespace
}  // namespace cppworker::testing
