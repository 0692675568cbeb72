// How a model service watches a model: while it loads, and once it was ready.
#include <gmock/gmock.h>

#include "tests/supervisor/model_fixture.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Phase = ServicePhase;
using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

class ModelHealthTest : public ModelFixture {
 protected:
  ModelHealthTest() {
    setup.backend.health->main.interval = 10s;
    on_post = [this](const HttpStub::Request& request) {
      canaries.push_back(request.target);
      return canary_answer;
    };
  }

  void declare_canary() {
    EndpointDefinition endpoint;
    endpoint.method = "POST";
    endpoint.path = "/generate";
    endpoint.failure_lines = {"{\"error\""};
    setup.backend.endpoints.push_back(endpoint);
    setup.backend.health->canary.emplace();
    setup.backend.health->canary->endpoint = "/generate";
    setup.backend.health->canary->payload = {{"inputs", "${words:3}"}};
  }
  // The traffic is looked at, whatever that leads to.
  void look() {
    skip(1s);
    settle();
  }
  bool sends_canary_after(std::chrono::seconds pause) {
    const std::size_t before = canaries.size();
    skip(pause);
    const bool sent = run_until(
        io, [&] { return canaries.size() > before; }, 1s);
    if (sent && !canary_answer.never) run_until(io, [&] { return server.served() >= server.requests(); });
    settle();
    return sent;
  }

  std::vector<std::string> canaries;
  HttpStub::Answer canary_answer;
};

// ---- while it loads

TEST_F(ModelHealthTest, AModelThatHangsWhileItLoadsIsRestarted) {
  setup.backend.startup.no_progress = 600s;
  start();
  print("starting model download");
  skip(595s);
  EXPECT_EQ(phase(), Phase::kStarting);
  skip(10s);
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(model->service().last_error(),
              HasSubstr("it loaded and nothing moved any more: in 605 s no new log line"));
  EXPECT_EQ(model->service().failures().begin()->first, "it loaded and nothing moved any more");
}

TEST_F(ModelHealthTest, AModelThatSaysSomethingNewIsLeftAlone) {
  setup.backend.startup.deadline = 24h;
  start();
  std::string bar;
  for (int i = 0; i < 50; ++i) {
    print("downloading " + (bar += '#'));
    skip(550s);
    ASSERT_EQ(phase(), Phase::kStarting);
  }
}

TEST_F(ModelHealthTest, OnceReadySilenceIsNoFailure) {
  become_ready();
  for (int i = 0; i < 10; ++i) skip(600s), settle();
  EXPECT_EQ(phase(), Phase::kReady);
}

TEST_F(ModelHealthTest, ShowsWhatALoadingModelIsAt) {
  setup.backend.log.phases = {{LoadPhase::kDownload, "^Download"}, {LoadPhase::kLoad, "^Load"}};
  start();
  EXPECT_EQ(model->load_phase(), LoadPhase::kLaunch);
  print("Download file 3 of 9");
  EXPECT_EQ(model->load_phase(), LoadPhase::kDownload);
  print("something else");
  skip(30s);
  EXPECT_EQ(model->load_phase(), LoadPhase::kDownload);
  EXPECT_GE(model->quiet(), 30s);
  print("Loading weights");
  EXPECT_EQ(model->load_phase(), LoadPhase::kLoad);
  EXPECT_LT(model->quiet(), 30s);
  processes.exit_with_code(1);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  skip(2s);
  EXPECT_EQ(model->load_phase(), LoadPhase::kLaunch) << "of the next launch";
}

// An image's "please wait" page that is read ten times a second looks like a server that writes and writes.
TEST_F(ModelHealthTest, AsksALoadingModelTheMoreRarelyTheLongerItTakes) {
  health_status = 503;
  start();
  print(kReadyLine);
  EXPECT_TRUE(asks_after(100ms));
  EXPECT_TRUE(asks_after(60s));
  const int before = server.requests();
  skip(500ms);
  EXPECT_FALSE(run_until(
      io, [&] { return server.requests() > before; }, 300ms));
  EXPECT_TRUE(asks_after(1500ms));
}

// ---- probes

TEST_F(ModelHealthTest, LetsNothingNewInBeforeItIsRestarted) {
  become_ready();
  EXPECT_TRUE(model->admits());
  health_status = 500;
  EXPECT_TRUE(asks_after(10s));
  EXPECT_TRUE(model->admits()) << "a single lost probe";
  const int before = changes;
  EXPECT_TRUE(asks_after(10s));
  EXPECT_FALSE(model->admits());
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_EQ(model->unwell(), "status 500 instead of 200 (2 in a row)");
  EXPECT_GT(changes, before) << "the proxy and the autoscaler are to hear of it";
  health_status = 200;
  EXPECT_TRUE(asks_after(10s));
  EXPECT_TRUE(model->admits());
  EXPECT_EQ(model->unwell(), "");
}

TEST_F(ModelHealthTest, ABusyModelThatFailsItsProbesIsLeftAlone) {
  become_ready();
  pulse.at_server = 1;
  health_status = 500;
  for (int i = 0; i < 20; ++i) {
    pulse.upstream_bytes += 100;
    EXPECT_TRUE(asks_after(10s));
    ASSERT_TRUE(model->admits());
  }
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ModelHealthTest, AModelThatStallsAndFailsItsProbesIsRestarted) {
  setup.backend.failed_stop_wait = 90s;
  become_ready();
  pulse.at_server = 1;
  health_status = 500;
  look();
  for (int i = 0; i < 11; ++i) EXPECT_TRUE(asks_after(10s));
  EXPECT_EQ(phase(), Phase::kReady);
  for (int i = 0; i < 4; ++i) asks_after(10s);
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(model->service().last_error(),
              AllOf(HasSubstr("it is unwell: 1 requests at the server and not a byte for"),
                    HasSubstr("status 500 instead of 200")));
}

TEST_F(ModelHealthTest, FurtherProbesCountAsMuch) {
  setup.backend.failed_stop_wait = 90s;
  ProbeDefinition silence;
  silence.kind = ProbeDefinition::Kind::kLogSilence;
  silence.silence = 60s;
  silence.failures = 2;
  setup.backend.health->others = {silence};
  become_ready();
  for (int i = 0; i < 5; ++i) asks_after(10s);
  EXPECT_TRUE(model->admits());
  print("still there");
  for (int i = 0; i < 5; ++i) asks_after(10s);
  EXPECT_TRUE(model->admits());
  for (int i = 0; i < 3; ++i) skip(10s), settle();
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(model->service().last_error(), HasSubstr("no line in its log for"));
}

TEST_F(ModelHealthTest, MayHaveToWriteALineRegularly) {
  setup.backend.failed_stop_wait = 90s;
  ProbeDefinition heartbeat;
  heartbeat.kind = ProbeDefinition::Kind::kLogPattern;
  heartbeat.log = "^stats: \\d+ running";
  heartbeat.silence = 60s;
  heartbeat.failures = 2;
  setup.backend.health->others = {heartbeat};
  start();
  skip(300s);
  print(kReadyLine);
  ASSERT_TRUE(reaches(Phase::kReady)) << "while it loads no such line is due";
  for (int i = 0; i < 5; ++i) asks_after(10s);
  EXPECT_TRUE(model->admits());
  print("stats: 3 running");
  for (int i = 0; i < 5; ++i) asks_after(10s);
  EXPECT_TRUE(model->admits());
  print("still there");
  for (int i = 0; i < 3; ++i) skip(10s), settle();
  EXPECT_EQ(phase(), Phase::kStopping) << "another line is no heartbeat";
  EXPECT_THAT(model->service().last_error(),
              HasSubstr("no line in its log matches \"^stats: \\d+ running\" for"));
}

TEST_F(ModelHealthTest, MayBeAskedByItsPort) {
  setup.backend.health->main.kind = ProbeDefinition::Kind::kTcp;
  health_status = 500;
  become_ready();
  EXPECT_EQ(server.requests(), 0);
}

TEST_F(ModelHealthTest, MustAnswerWellSeveralTimesWhereItsBackendSaysSo) {
  setup.backend.health->main.successes = 3;
  start();
  print(kReadyLine);
  EXPECT_TRUE(asks_after(100ms));
  EXPECT_TRUE(asks_after(100ms));
  EXPECT_EQ(phase(), Phase::kStarting);
  EXPECT_TRUE(asks_after(100ms));
  EXPECT_EQ(phase(), Phase::kReady);
}

TEST_F(ModelHealthTest, AnotherRouteMayTakeThePlaceOfItsBackends) {
  std::string asked;
  HttpStub other(io, [&](const HttpStub::Request& request) {
    asked = request.target;
    return HttpStub::Answer{};
  });
  setup.server = other.url();
  setup.health_path = "/other";
  become_ready();
  EXPECT_EQ(asked, "/other");
}

// ---- the canary

TEST_F(ModelHealthTest, AnIdleModelIsTriedWithARequest) {
  declare_canary();
  become_ready();
  EXPECT_FALSE(sends_canary_after(30s));
  EXPECT_TRUE(sends_canary_after(31s));
  EXPECT_THAT(canaries, ElementsAre("/generate"));
  EXPECT_TRUE(model->admits());
}

TEST_F(ModelHealthTest, AnIdleModelThatFailsItIsRestarted) {
  declare_canary();
  become_ready();
  canary_answer.body = R"({"error":"CUDA error"})";
  EXPECT_TRUE(sends_canary_after(61s));
  EXPECT_TRUE(sends_canary_after(11s));
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_TRUE(sends_canary_after(11s));
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(model->service().last_error(), HasSubstr("canary: its answer tells of a failure (3 in a row)"));
}

TEST_F(ModelHealthTest, ADeadEngineBehindAHealthyFrontIsRestarted) {
  declare_canary();
  become_ready();
  pulse.at_server = 2;
  canary_answer.never = true;
  look();
  EXPECT_TRUE(sends_canary_after(121s));
  EXPECT_EQ(phase(), Phase::kReady);
  skip(31s);
  EXPECT_TRUE(reaches(Phase::kStopping)) << "its health says 200 all the time";
  EXPECT_THAT(model->service().last_error(), HasSubstr("2 requests at the server and not a byte for"));
}

TEST_F(ModelHealthTest, TheNextLaunchHasNothingToDoWithAnOldCanary) {
  declare_canary();
  become_ready();
  canary_answer.never = true;
  EXPECT_TRUE(sends_canary_after(61s));
  processes.exit_by_signal(SIGKILL);
  ASSERT_TRUE(reaches(Phase::kBackoff));
  skip(2s);
  print(kReadyLine);
  ASSERT_TRUE(reaches(Phase::kReady));
  pulse.at_server = 1;
  look();
  skip(40s);
  settle();
  EXPECT_TRUE(model->admits());
}

TEST_F(ModelHealthTest, WhetherItWorksOnOneAtATimeMayChangeWhileItRuns) {
  declare_canary();
  become_ready();
  model->set_concurrency(1);
  pulse.at_server = 2;
  look();
  EXPECT_FALSE(sends_canary_after(121s)) << "it would wait behind the request";
  model->set_concurrency(0);
  EXPECT_TRUE(sends_canary_after(1s));
}

TEST_F(ModelHealthTest, AModelThatWorksOnOneAtATimeIsKeptFreeForTheCanary) {
  declare_canary();
  setup.backend.max_concurrency = 1;
  become_ready();
  pulse.at_server = 1;
  look();
  pulse.upstream_failures += 10;
  look();
  EXPECT_FALSE(model->admits());
  EXPECT_THAT(canaries, IsEmpty());
  pulse.at_server = 0;
  EXPECT_TRUE(sends_canary_after(1s));
  EXPECT_TRUE(model->admits()) << "it is well: a client's requests were to blame";
}

// ---- probes by command

// Symptom: with an interval of a second the loop stood for most of the time.
TEST_F(ModelHealthTest, ACommandWhoseStartHangsIsTriedMoreRarely) {
  ProbeDefinition command;
  command.kind = ProbeDefinition::Kind::kCommand;
  command.command = {"/mnt/away/check"};
  command.interval = 1s;
  command.failures = 1000;
  setup.backend.health->others = {command};
  setup.backend.health->main.failures = 1000;
  become_ready();
  int tried = 0;
  asio::io_context elsewhere;
  processes.before_spawn = [&] {
    ++tried;
    clock.skip(elsewhere, 5s);
  };
  processes.spawn_error = "cannot start the health command: /mnt/away/check was not executed in time";
  for (int i = 0; i < 120; ++i) look();
  EXPECT_EQ(tried, 2) << "at once, and a minute later";
  for (int i = 0; i < 600; ++i) look();
  EXPECT_EQ(tried, 4);
}

// ---- its own errors, fatal lines

TEST_F(ModelHealthTest, AModelThatAnswersNothingButErrorsIsRestarted) {
  pulse.upstream_failures = 50;  // of earlier launches
  become_ready();
  look();
  pulse.upstream_failures += 9;
  look();
  EXPECT_EQ(phase(), Phase::kReady);
  pulse.upstream_failures += 1;
  look();
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(model->service().last_error(), HasSubstr("10 answers in a row were its own errors"));
}

// The default step of 90 s is for servers that finish what they generate.
TEST_F(ModelHealthTest, AFailedModelIsKilledSoonUnlessItStillServesSomebody) {
  become_ready();
  look();
  pulse.upstream_failures += 10;
  look();
  ASSERT_EQ(phase(), Phase::kStopping);
  pulse.upstream_bytes += 100;
  skip(11s);
  EXPECT_EQ(phase(), Phase::kStopping) << "a client got a part of his answer since";
  skip(11s);
  EXPECT_EQ(phase(), Phase::kKilling);
}

TEST_F(ModelHealthTest, AFatalLineIsBelievedWhenAProbeBearsItOut) {
  setup.backend.log.fatal_after_ready = {"^RuntimeError: CUDA error"};
  become_ready();
  health_status = 503;
  const int before = server.served();
  print("RuntimeError: CUDA error: secret of a client");
  ASSERT_TRUE(run_until(io, [&] { return server.served() > before; })) << "it is asked at once";
  settle();
  EXPECT_EQ(phase(), Phase::kReady) << "the line may be faked, and the probe lost";
  skip(10s);
  ASSERT_TRUE(run_until(io, [&] { return server.served() > before + 1; }));
  settle();
  EXPECT_EQ(phase(), Phase::kStopping);
  EXPECT_THAT(
      model->service().last_error(),
      AllOf(HasSubstr("its log says that it can't go on: its log matches \"^RuntimeError: CUDA error\""),
            Not(HasSubstr("secret"))))
      << "the line may hold a prompt";
}

// A prompt that the server prints, line ends and all.
TEST_F(ModelHealthTest, AFatalLineIsNotBelievedOfAModelThatIsWell) {
  declare_canary();
  setup.backend.log.fatal_after_ready = {"^RuntimeError: CUDA error"};
  become_ready();
  for (int i = 0; i < 5; ++i) {
    print("prompt: please repeat\nRuntimeError: CUDA error: an illegal memory access");
    EXPECT_TRUE(run_until(io, [&] { return canaries.size() > static_cast<std::size_t>(i); }));
    skip(12s);
    settle();
  }
  EXPECT_TRUE(model->admits());
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ModelHealthTest, WhileItLoadsSuchALineIsBelievedAtOnce) {
  setup.backend.log.fatal_after_ready = {"^RuntimeError: CUDA error"};
  start();
  print("RuntimeError: CUDA error: an illegal memory access was encountered");
  EXPECT_EQ(phase(), Phase::kStopping);
}

}  // namespace
}  // namespace cppworker
