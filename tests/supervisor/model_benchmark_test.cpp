// How a model service measures its model before the first request, and remembers the figure.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>

#include "tests/supervisor/model_fixture.hpp"
#include "tests/supervisor/process_test.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Phase = ServicePhase;
using testing::HasSubstr;

class ModelBenchmarkTest : public ModelFixture {
 protected:
  ModelBenchmarkTest() {
    EndpointDefinition endpoint;
    endpoint.method = "POST";
    endpoint.path = "/generate";
    endpoint.workload = Workload::compile("payload.tokens").value();
    setup.backend.endpoints.push_back(endpoint);
    setup.backend.benchmark.emplace();
    setup.backend.benchmark->endpoint = "/generate";
    setup.backend.benchmark->runs = 2;
    setup.backend.benchmark->concurrency = 4;
    setup.backend.benchmark->payload = {{"inputs", "${words:3}"}, {"tokens", 32}};
    on_post = [this](const HttpStub::Request& request) {
      EXPECT_EQ(phase(), Phase::kMeasuring);
      EXPECT_EQ(request.target, "/generate");
      EXPECT_THAT(request.body, HasSubstr(R"("tokens":32)"));
      ++measured;
      return HttpStub::Answer{.status = measured_status};
    };
  }

  // What happens at the worker's next start, on the same disk.
  void start_again() {
    model->service().post(ServiceEventKind::kWantDown);
    settle();
    processes.exit_with_code(0);
    ASSERT_TRUE(reaches(Phase::kDown));
    measured = 0;
    before.push_back(std::move(model));  // its watcher runs as long as the loop
    become_ready();
  }

  void start_a_benchmark_without_an_end() {
    on_post = [this](const HttpStub::Request&) {
      ++measured;
      return HttpStub::Answer{.never = true};
    };
    start();
    print(kReadyLine);
    ASSERT_TRUE(run_until(io, [&] { return measured > 0; }));
  }

  int measured = 0, measured_status = 200;
  std::vector<std::unique_ptr<ModelService>> before;
};

TEST_F(ModelBenchmarkTest, ComesBeforeTheFirstRequest) {
  become_ready();
  EXPECT_EQ(measured, 1 + 2 * 4) << "a warm-up, then the runs";
  EXPECT_GT(model->figures().max_perf, 0);
  EXPECT_EQ(model->figures().benchmark_error, "");
}

TEST_F(ModelBenchmarkTest, IsRememberedForTheNextStart) {
  become_ready();
  const double figure = model->figures().max_perf;
  start_again();
  EXPECT_EQ(measured, 0) << "each would cost minutes of a rented GPU";
  EXPECT_EQ(model->figures().max_perf, figure);
}

TEST_F(ModelBenchmarkTest, IsDoneAgainForAnotherModel) {
  become_ready();
  ::setenv("MODEL_ID", "another/model", 1);
  start_again();
  ::unsetenv("MODEL_ID");
  EXPECT_EQ(measured, 1 + 2 * 4);
  setup.backend.benchmark->payload["tokens"] = 64;
  on_post = [this](const HttpStub::Request&) {
    ++measured;
    return HttpStub::Answer{};
  };
  start_again();
  EXPECT_EQ(measured, 1 + 2 * 4) << "another payload measures something else";
}

TEST_F(ModelBenchmarkTest, CanBeSwitchedOff) {
  setup.benchmark = false;
  become_ready();
  EXPECT_EQ(measured, 0);
  EXPECT_EQ(model->figures().max_perf, 0);
}

// A model that answers health and not one request is no use to anybody.
TEST_F(ModelBenchmarkTest, RestartsAModelThatServesNothing) {
  measured_status = 500;
  start();
  print(kReadyLine);
  ASSERT_TRUE(reaches(Phase::kStopping));
  EXPECT_EQ(model->figures().loads, 0u);
  EXPECT_THAT(model->service().last_error(), HasSubstr("the benchmark failed: cannot measure"));
  EXPECT_THAT(model->figures().benchmark_error, HasSubstr("status 500"));

  measured_status = 200;
  processes.exit_with_code(0);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  skip(2s);
  print(kReadyLine);
  ASSERT_TRUE(reaches(Phase::kReady));
  EXPECT_EQ(model->figures().benchmark_error, "");
}

// The Python worker read no line of the log while it measured.
TEST_F(ModelBenchmarkTest, AFatalLineMeanwhileIsSeen) {
  start_a_benchmark_without_an_end();
  print("Error: ShardCannotStart");
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(model->service().last_error(), HasSubstr("Error: ShardCannotStart"));
}

// What an earlier launch's benchmark comes to says nothing about the present one.
TEST_F(ModelBenchmarkTest, IsForgottenWhenTheModelDiesMeanwhile) {
  start_a_benchmark_without_an_end();
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  skip(2s);
  ASSERT_EQ(phase(), Phase::kStarting);
  skip(3min);  // the lost request's own limit
  settle();
  EXPECT_EQ(phase(), Phase::kStarting);
  EXPECT_EQ(model->figures().benchmark_error, "");
  EXPECT_EQ(model->figures().max_perf, 0);
}

// The whole with a shell for a model, as a backend's script is one.
class LaunchScriptTest : public ProcessTest {
 protected:
  MovableClock clock;
  TemporaryFolder folder;
  asio::io_context io;
  HttpStub server{io, [](const HttpStub::Request&) { return HttpStub::Answer{}; }};
  std::unique_ptr<ProcessRunner> processes = make_process_runner(io);
  std::unique_ptr<ModelService> model;
};

TEST_F(LaunchScriptTest, RunsIsReadyAndStops) {
  ModelServiceSetup setup;
  setup.backend.launch_script = folder / "launch.sh";
  std::ofstream(setup.backend.launch_script) << "#!/bin/sh\necho \"max batch total tokens to 4096\" "
                                                ">&2\necho \"listening on $SERVER_PORT\"\nexec sleep 600\n";
  std::filesystem::permissions(setup.backend.launch_script, std::filesystem::perms::owner_all);
  std::filesystem::create_directories(folder / "logs");
  setup.backend.log.ready = {"^listening on " + std::to_string(server.url().port) + "$"};
  setup.backend.log.captures = {{"max_capacity", "total tokens to (\\d+)"}};
  setup.server = server.url();
  setup.health_path = "/health";
  setup.run_dir = folder.path();
  setup.on_change = [] {};
  model = ModelService::make(io, *processes, setup).value();
  model->watch();
  Service& service = model->service();
  const auto reaches = [&](Phase phase) {
    return run_until(io, [&] { return service.state().phase == phase; });
  };

  service.post(ServiceEventKind::kWantUp);
  ASSERT_TRUE(reaches(Phase::kReady)) << service.last_error();
  EXPECT_EQ(model->figures().max_capacity, 4096);
  EXPECT_EQ(server.requests(), 1);
  ASSERT_TRUE(look_at_process(service.pid()));
  service.post(ServiceEventKind::kWantDown);
  EXPECT_TRUE(reaches(Phase::kDown));
  EXPECT_EQ(service.last_error(), "");
}

}  // namespace
}  // namespace cppworker
