#include "supervisor/health_probe.hpp"

#include <gmock/gmock.h>

#include <filesystem>

#include "common/text.hpp"
#include "supervisor/environment.hpp"
#include "tests/supervisor/http_stub.hpp"
#include "tests/supervisor/process_test.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::HasSubstr;
using testing::StartsWith;

class HealthProbeTest : public testing::Test {
 protected:
  HealthAnswer probe_against(HttpStub::Answer answer, HealthProbe probe = {}) {
    HttpStub server(io, [&](const HttpStub::Request& request) {
      last = request;
      return answer;
    });
    probe.server = server.url();
    return run_coroutine(io, probe_health(std::move(probe)));
  }

  asio::io_context io;
  HttpStub::Request last;
};

TEST_F(HealthProbeTest, IsHealthyWhenTheServerSaysSo) {
  const HealthAnswer answer = probe_against({.status = 200}, {.path = "/health?x=1"});
  EXPECT_TRUE(answer.ok());
  EXPECT_EQ(answer.reason, "");
  EXPECT_EQ(last.method, "GET");
  EXPECT_EQ(last.target, "/health?x=1");
}

TEST_F(HealthProbeTest, IsUnhealthyWithAnotherStatus) {
  const HealthAnswer answer = probe_against({.status = 503});
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.reason, "status 503 instead of 200");
  EXPECT_TRUE(probe_against({.status = 204, .body = ""}, {.expected_status = 204}).ok());
}

TEST_F(HealthProbeTest, SeesThroughAWaitingPage) {
  const HttpStub::Answer page{.body = "<html>Preparing</html>", .content_type = "text/html"};
  EXPECT_TRUE(probe_against(page).ok());
  const HealthAnswer answer = probe_against(page, {.expect_json = true});
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.reason, "the body is not JSON (text/html)");
  EXPECT_TRUE(probe_against({.body = "{\"ok\":true}"}, {.expect_json = true}).ok());
}

TEST_F(HealthProbeTest, GivesASilentServerItsTimeOnly) {
  const HealthAnswer answer = probe_against({.never = true}, {.timeout = 50ms});
  EXPECT_FALSE(answer.ok());
  EXPECT_THAT(answer.reason, HasSubstr("within 50 ms"));
  EXPECT_GE(answer.took, 50ms);
}

TEST_F(HealthProbeTest, IsUnhealthyWhenNobodyListens) {
  HealthProbe probe;
  {
    HttpStub gone(io, {});
    probe.server = gone.url();
  }
  EXPECT_THAT(run_coroutine(io, probe_health(probe)).reason, HasSubstr("cannot connect"));
}

TEST_F(HealthProbeTest, LooksForWhatTheBodyMustSay) {
  const HttpStub::Answer answer{.body = R"({"backends_healthy":"0/1"})"};
  EXPECT_TRUE(probe_against(answer).ok());
  EXPECT_TRUE(probe_against(answer, {.body = "backends_healthy"}).ok());
  EXPECT_EQ(probe_against(answer, {.body = "\"[1-9]"}).reason, "the body doesn't match \"\"[1-9]\"");
}

TEST_F(HealthProbeTest, ByPortItIsEnoughToBeThere) {
  Url url;
  {
    HttpStub server(io, {});
    url = server.url();
    EXPECT_TRUE(run_coroutine(io, probe_port(url, 5s)).ok());
    EXPECT_EQ(server.requests(), 0);
  }
  io.poll();
  const HealthAnswer answer = run_coroutine(io, probe_port(url, 5s));
  EXPECT_FALSE(answer.ok());
  EXPECT_THAT(answer.reason, HasSubstr("cannot connect to 127.0.0.1"));
}

TEST_F(HealthProbeTest, ByRequestTheAnswerMustBeAGoodOne) {
  const auto ask = [&](HttpStub::Answer answer) {
    HttpStub server(io, [&](const HttpStub::Request& request) {
      last = request;
      return answer;
    });
    HttpRequest request;
    request.method = "POST";
    request.server = server.url();
    request.target = "/generate";
    request.body = "{}";
    return run_coroutine(io, probe_by_request(std::move(request), {"{\"error\""}, 50ms));
  };
  EXPECT_TRUE(ask({.body = R"({"generated_text":"x"})"}).ok());
  EXPECT_EQ(last.method, "POST");
  EXPECT_EQ(ask({.status = 500}).reason, "status 500");
  EXPECT_EQ(ask({.body = R"({"error":"CUDA error"})"}).reason, "its answer tells of a failure");
  EXPECT_THAT(ask({.never = true}).reason, HasSubstr("within 50 ms"));
}

class CommandProbeTest : public ProcessTest {
 protected:
  HealthAnswer probe(const std::string& script, std::chrono::milliseconds timeout = 10s) {
    ProcessSpec spec;
    spec.name = "probe";
    spec.program = "/bin/sh";
    spec.args = {"-c", script};
    spec.environment = child_environment(own_environment(), {}, mark);
    return run_coroutine(io, probe_by_command(commands, spec, mark, timeout));
  }
  // The pid that the command has written, and whose process isn't there any more.
  bool is_gone(const std::string& file) {
    const pid_t pid = std::atoi(read_file(file, 100).value_or("").c_str());
    return pid > 0 && run_until(io, [&] {
             const auto process = look_at_process(pid);
             return !process || process->state == 'Z';  // whoever adopted it takes its time
           });
  }

  asio::io_context io;
  std::unique_ptr<ProcessRunner> processes = make_process_runner(io);
  CommandRunner commands{
      io, *processes, nullptr,
      [this](ProcessTree tree, std::set<ProcessKey> known, std::chrono::milliseconds limit) {
        return sweep(std::move(tree), std::move(known), limit);
      }};
  SweepTree sweep = sweep_tree;
  const std::string mark = make_tree_mark();
  TemporaryFolder folder;
};

// A script that starts something in the background does so with every probe.
TEST_F(CommandProbeTest, LeavesNothingInTheBackground) {
  EXPECT_TRUE(probe("setsid sleep 600 > /dev/null 2>&1 & echo $! > " + (folder / "pid")).ok());
  EXPECT_TRUE(is_gone(folder / "pid"));
  EXPECT_FALSE(probe("setsid sleep 600 & echo $! > " + (folder / "pid") + "; wait", 500ms).ok());
  EXPECT_TRUE(is_gone(folder / "pid")) << "also when its time was over";
}

TEST_F(CommandProbeTest, IsHealthyWhenItEndsWithZero) {
  EXPECT_TRUE(probe("exit 0").ok());
  const HealthAnswer answer = probe("echo no GPU; exit 3");
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.reason, "exit code 3: no GPU");
  EXPECT_THAT(probe("kill -9 $$").reason, HasSubstr("SIGKILL"));
}

TEST_F(CommandProbeTest, HasItsTimeOnly) {
  const HealthAnswer answer = probe("sleep 600", 50ms);
  EXPECT_FALSE(answer.ok());
  EXPECT_EQ(answer.reason, "no answer within 50 ms");
}

TEST_F(CommandProbeTest, WhatCannotBeStartedIsUnhealthy) {
  ProcessSpec spec;
  spec.name = "probe";
  spec.program = "/no/such/program";
  const HealthAnswer answer = run_coroutine(io, probe_by_command(commands, spec, mark, 1s));
  EXPECT_THAT(answer.reason, HasSubstr("cannot start the probe"));
  EXPECT_TRUE(answer.not_started);
  EXPECT_FALSE(probe("exit 1").not_started);
}

// Symptom: a command that a dead file system held got a second one beside it, every ten seconds.
TEST_F(CommandProbeTest, IsNotAskedBesideAnEarlierOneThatCannotBeEnded) {
  sweep = [](ProcessTree tree, std::set<ProcessKey>,
             std::chrono::milliseconds) -> Awaitable<Result<std::vector<ProcessInfo>>> {
    ProcessInfo held;
    held.pid = tree.leader;
    held.state = 'D';
    held.comm = "nvidia-smi";
    std::vector<ProcessInfo> left = {held};
    co_return left;
  };
  EXPECT_TRUE(probe("exit 0").ok());
  const HealthAnswer answer = probe("touch " + (folder / "asked"));
  EXPECT_THAT(answer.reason, AllOf(StartsWith("not asked: process "), HasSubstr("(nvidia-smi, state D)"),
                                   HasSubstr("can't be ended")));
  EXPECT_FALSE(answer.not_started);
  EXPECT_FALSE(std::filesystem::exists(folder / "asked"));
  EXPECT_EQ(commands.survivors().size(), 1u);
  sweep = sweep_tree;
  EXPECT_TRUE(probe("touch " + (folder / "asked")).ok()) << "the file system is back";
  EXPECT_TRUE(std::filesystem::exists(folder / "asked"));
  EXPECT_TRUE(commands.clean());
}

}  // namespace
}  // namespace cppworker
