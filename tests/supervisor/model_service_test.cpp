#include "supervisor/model_service.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <future>
#include <map>
#include <sstream>
#include <nlohmann/json.hpp>
#include <spdlog/sinks/ostream_sink.h>

#include "common/text.hpp"
#include "tests/supervisor/model_fixture.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Phase = ServicePhase;
using testing::Contains;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

using ModelServiceTest = ModelFixture;

TEST_F(ModelServiceTest, LaunchesTheBackendsScriptWithItsPortAndNoneOfOurSecrets) {
  ::setenv("MASTER_TOKEN", "token", 1);
  ::setenv("HF_TOKEN", "for the model", 1);
  setup.program_dir = "/opt/cppworker/bin";
  start();
  ::unsetenv("MASTER_TOKEN");
  ::unsetenv("HF_TOKEN");
  ASSERT_EQ(processes.launches(), 1u);
  EXPECT_EQ(processes.last().spec.program, "/opt/launchers/tgi/launch.sh");
  EXPECT_EQ(processes.last().variable("SERVER_PORT"), std::to_string(server.url().port));
  EXPECT_EQ(processes.last().variable("PYTHONUNBUFFERED"), "1") << "else its log comes in 8 KiB pieces";
  EXPECT_EQ(processes.last().variable("HF_TOKEN"), "for the model");
  EXPECT_EQ(processes.last().variable("CPPWORKER_TREE"), model->service().tree_mark());
  EXPECT_THAT(processes.last().variable("PATH"), EndsWith(":/opt/cppworker/bin"))
      << "where toy's server lies";
  EXPECT_THAT(processes.last().spec.environment, Not(Contains(HasSubstr("MASTER_TOKEN"))));
}

TEST_F(ModelServiceTest, RefusesABackendWhoseLogPatternsCannotBeUsed) {
  setup.backend.log.fatal = {"("};
  const auto made = ModelService::make(io, processes, setup);
  ASSERT_FALSE(made);
  EXPECT_THAT(made.error().message, HasSubstr("cannot use the fatal pattern \"(\""));
}

// TGI prints "Connected" before it binds its port; other images answer 200 before the model is there.
TEST_F(ModelServiceTest, IsReadyWhenItsLogAndItsHealthSaySo) {
  health_status = 503;
  start();
  skip(1s);
  EXPECT_EQ(server.requests(), 0) << "before its line the server is left alone";
  print(kReadyLine);
  ASSERT_TRUE(asks_after(100ms));
  EXPECT_EQ(phase(), Phase::kStarting);
  EXPECT_EQ(model->figures().loads, 0u);
  health_status = 200;
  ASSERT_TRUE(asks_after(100ms));
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_EQ(model->figures().loads, 1u);
  EXPECT_EQ(model->progress(), "ready");
}

// The Python worker loaded once more with each line that looked like it.
TEST_F(ModelServiceTest, AReadyLineThatIsRepeatedIsNoOtherLoad) {
  become_ready();
  const int before = changes;
  print(kReadyLine);
  skip(1s);
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_EQ(model->figures().loads, 1u);
  EXPECT_EQ(changes, before);
  EXPECT_EQ(processes.launches(), 1u);
}

TEST_F(ModelServiceTest, IsNotReadyByItsHealthAlone) {
  start();
  print(R"({"message":"Starting"})");
  skip(10s);
  EXPECT_EQ(phase(), Phase::kStarting);
}

TEST_F(ModelServiceTest, WithoutALinePatternItsHealthDecides) {
  setup.backend.log.ready.clear();
  start();
  EXPECT_TRUE(reaches(Phase::kReady));
}

TEST_F(ModelServiceTest, WithoutAHealthRouteItsLogDecides) {
  setup.backend.health.reset();
  start();
  skip(1s);
  EXPECT_EQ(phase(), Phase::kStarting);
  print(kReadyLine);
  skip(1s);
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_EQ(server.requests(), 0);
}

TEST_F(ModelServiceTest, SaysHowLongItLoaded) {
  start();
  skip(90s);
  print(kReadyLine);
  ASSERT_TRUE(reaches(Phase::kReady));
  EXPECT_GE(model->figures().load_seconds, 90);
  EXPECT_LT(model->figures().load_seconds, 120);
}

TEST_F(ModelServiceTest, ReadsLinesHoweverTheyAreCutAndColoured) {
  start();
  processes.print("\x1b[2m2024-01-01\x1b[0m {\"message\":\"Setting max batch to");
  processes.print("Traceback, of the other stream\n", OutputStream::kStderr);
  processes.print("tal tokens to \x1b[32m16384\x1b[0m\"}\nhalf");
  EXPECT_EQ(model->figures().max_capacity, 16384);
  EXPECT_THAT(model->last_lines().lines(),
              ElementsAre("Traceback, of the other stream",
                          "2024-01-01 {\"message\":\"Setting max batch total tokens to 16384\"}"));
}

TEST_F(ModelServiceTest, ShowsItsProgress) {
  start();
  EXPECT_EQ(model->progress(), "launched");
  print(R"({"message":"Download file 3 of 9"})");
  print(R"({"message":"something else"})");
  EXPECT_EQ(model->progress(), R"({"message":"Download file 3 of 9"})");
}

TEST_F(ModelServiceTest, WritesTheLogToAFileAsItWasPrinted) {
  start();
  print("\x1b[31mred\x1b[0m");
  print("plain");
  EXPECT_TRUE(run_until(
      io, [&] { return read_file(folder / "logs/model.log", 100) == "\x1b[31mred\x1b[0m\nplain\n"; }));
}

// Symptom: /livez, SIGTERM and the model itself hung with the network mount that the run directory lay on.
TEST_F(ModelServiceTest, NoticesNothingOfADiskThatHangs) {
  std::promise<void> answer;
  setup.log_system.write = [answered = answer.get_future().share()](int file, const void* bytes,
                                                                    std::size_t size) {
    answered.wait();
    return ::write(file, bytes, size);
  };
  start();
  for (int i = 0; i < 50; ++i) print(std::string(64 << 10, 'x'));  // would hang here
  print(kReadyLine);
  EXPECT_TRUE(reaches(ServicePhase::kReady));
  EXPECT_EQ(model->last_lines().lines().back(), kReadyLine);
  answer.set_value();
  EXPECT_TRUE(run_until(io, [&] {
    const std::string log = read_file(folder / "logs/model.log", 8 << 20).value_or("");
    return log.find(" lines were dropped here") != std::string::npos;
  }));
}

// MODEL_LOG: servers whose launch script sends their output elsewhere.
TEST_F(ModelServiceTest, BelievesTheServersOwnLogFileAsMuch) {
  setup.log_file = folder / "infer.log";
  std::ofstream(*setup.log_file) << kReadyLine << "\n";
  start();
  skip(1s);
  EXPECT_EQ(phase(), Phase::kStarting) << "the line is an earlier launch's";
  std::ofstream(*setup.log_file, std::ios::app) << kReadyLine << "\n";
  skip(1s);
  EXPECT_TRUE(reaches(Phase::kReady));
  EXPECT_THAT(model->last_lines().lines(), ElementsAre(kReadyLine));
}

// Symptom: a script whose first line says that it is ready never was.
TEST_F(ModelServiceTest, MissesNothingThatIsWrittenThereAtOnce) {
  setup.log_file = folder / "infer.log";
  std::ofstream(*setup.log_file) << "an earlier launch's\n";
  processes.at_once = [this] { std::ofstream(*setup.log_file, std::ios::app) << kReadyLine << "\n"; };
  start();
  skip(1s);
  EXPECT_TRUE(reaches(Phase::kReady));
}

// Who reads that would look for the cause in a process that had ended before.
TEST_F(ModelServiceTest, TellsNothingOfAnEarlierLaunchInAPostMortem) {
  setup.backend.hooks.pre_start = {"/opt/hooks/pre.sh", 60s};
  start();
  processes.exit_with_code(0);
  ASSERT_TRUE(run_until(io, [&] { return processes.launches() == 2; }));
  print("CUDA error");
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  skip(2s);
  ASSERT_EQ(processes.launches(), 3u);
  processes.exit_with_code(3);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  std::map<int, nlohmann::json> left;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "postmortem")) {
    const auto document = nlohmann::json::parse(std::ifstream(entry.path()));
    left[document["launch"]] = document;
  }
  ASSERT_EQ(left.size(), 2u);
  EXPECT_EQ(left[1]["last_lines"], nlohmann::json({"CUDA error"}));
  EXPECT_FALSE(left[1]["memory"].empty());
  EXPECT_EQ(left[2]["last_lines"], nlohmann::json::array());
  EXPECT_EQ(left[2]["memory"], nlohmann::json::array());
}

TEST_F(ModelServiceTest, TakesTheLastWordsFromThereToo) {
  setup.backend.log.file = folder / "infer.log";
  start();
  std::ofstream(setup.backend.log.file) << "CUDA out of mem";
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_THAT(model->last_lines().lines(), ElementsAre("CUDA out of mem"));
}

TEST_F(ModelServiceTest, StopsOnALineThatSaysItCannotGoOn) {
  start();
  print("Error: ShardCannotStart");
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM));
  EXPECT_EQ(model->service().last_error(),
            "the model failed: its log says that it can't go on: Error: ShardCannotStart");
}

// Prompts are echoed in logs: a client must not be able to end the model with one, or to change its figures.
TEST_F(ModelServiceTest, BelievesNoLineOnceItIsReady) {
  become_ready();
  print("Error: ShardCannotStart");
  print("Setting max batch total tokens to 1");
  print(R"({"message":"Download file 1 of 9"})");
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_EQ(model->figures().max_capacity, std::nullopt);
  EXPECT_EQ(model->progress(), "ready");
}

TEST_F(ModelServiceTest, IsRestartedWhenItsHealthFailsSeveralTimesInARow) {
  setup.backend.health->main.interval = 10s;
  setup.backend.health->main.failures = 3;
  become_ready();
  health_status = 500;
  EXPECT_TRUE(asks_after(10s));
  EXPECT_TRUE(asks_after(10s));
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_TRUE(asks_after(10s));
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(model->service().last_error(), HasSubstr("status 500 instead of 200"));
}

TEST_F(ModelServiceTest, IsNotRestartedForASingleLostProbe) {
  setup.backend.health->main.failures = 2;
  become_ready();
  for (const int status : {500, 200, 500, 200, 500, 200}) {
    health_status = status;
    EXPECT_TRUE(asks_after(10s));
  }
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ModelServiceTest, IsAskedNoMoreOftenThanItsBackendSays) {
  setup.backend.health->main.interval = 10s;
  become_ready();
  EXPECT_TRUE(asks_after(10s));
  const int before = server.requests();
  skip(9s);
  EXPECT_EQ(server.requests(), before);
  EXPECT_TRUE(asks_after(1s));
}

TEST_F(ModelServiceTest, BelievesNothingThatAnEarlierLaunchHasSaid) {
  start();
  print(kReadyLine);
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  skip(2s);
  ASSERT_EQ(processes.launches(), 2u);
  skip(1s);
  EXPECT_EQ(phase(), Phase::kStarting) << "the port may be somebody else's";
  print("tors\":1}");
  print(kReadyLine);
  EXPECT_TRUE(reaches(Phase::kReady));
}

// "Killed", "Segmentation fault": what explains most often lacks the line's end.
TEST_F(ModelServiceTest, KeepsTheLastWordsOfADeadModel) {
  start();
  processes.print("CUDA out of mem");
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  EXPECT_THAT(model->last_lines().lines(), ElementsAre("CUDA out of mem"));
  skip(2s);
  print("Error: ShardCannotStart");
  EXPECT_EQ(phase(), Phase::kStopping) << "the next launch begins a line of its own";
}

TEST_F(ModelServiceTest, TellsItsOwnerOfEachChange) {
  start();
  const int starting = changes;
  EXPECT_GT(starting, 0);
  print(kReadyLine);
  ASSERT_TRUE(reaches(Phase::kReady));
  const int ready = changes;
  EXPECT_GT(ready, starting);
  processes.exit_by_signal(SIGSEGV);
  EXPECT_GT(changes, ready);
}

TEST_F(ModelServiceTest, TakesStopSignalAndTimesFromItsBackend) {
  setup.backend.stop_steps = {{.signal = SIGINT, .wait = 20s}};
  setup.backend.failed_stop_wait = 30s;
  setup.backend.startup.deadline = 60s;
  start();
  skip(59s);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
  skip(2s);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGINT));
  skip(19s);
  EXPECT_THAT(processes.last().group_signals, IsEmpty());
  skip(2s);
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGKILL));
}

TEST_F(ModelServiceTest, ItsLinesInOurLogFollowTheLevelThatAReloadSets) {
  const std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
  std::ostringstream log;
  spdlog::set_default_logger(
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
  setup.log_child_lines = true;
  spdlog::set_level(spdlog::level::warn);
  start();
  print("one");
  spdlog::set_level(spdlog::level::info);
  print("two");
  spdlog::set_level(spdlog::level::err);
  print("three");
  spdlog::set_default_logger(before);
  spdlog::set_level(spdlog::level::info);
  EXPECT_THAT(log.str(), testing::Not(HasSubstr("one")));
  EXPECT_THAT(log.str(), HasSubstr("two"));
  EXPECT_THAT(log.str(), testing::Not(HasSubstr("three")));
}

TEST_F(ModelServiceTest, GivesUpByTheRulesOfItsBackend) {
  setup.backend.restart.give_up = {{.causes = {"health"}, .failures = 1, .window = 60s},
                                   {.causes = {"spawn", "exit"}, .failures = 2, .window = 60s}};
  setup.backend.restart.first_wait = 7s;
  std::string given_up;
  setup.on_give_up = [&] { given_up = model->service().last_error(); };
  start();
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  skip(5s);
  EXPECT_EQ(processes.launches(), 1u);
  skip(4s);
  ASSERT_EQ(processes.launches(), 2u);
  EXPECT_EQ(given_up, "");
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kGaveUp));
  EXPECT_THAT(given_up, EndsWith("given up after 2 failures within 1 min"));
}

}  // namespace
}  // namespace cppworker
