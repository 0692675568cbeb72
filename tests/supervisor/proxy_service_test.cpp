#include "supervisor/proxy_service.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <optional>

#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/fake_process_runner.hpp"
#include "tests/supervisor/proxy_end.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using Phase = ServicePhase;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::StartsWith;

// A proxy service whose proxy is played by the test: its process, and its end of the control socket.
class ProxyServiceTest : public testing::Test {
 protected:
  ProxyServiceTest() {
    ProxyServiceSetup setup;
    setup.program = "/opt/bin/cppworker-proxy";
    setup.settings_file = "/run/worker/proxy.json";
    setup.listener = listener.get();
    setup.session_listener = session_listener.get();
    setup.on_notice = [this](ProxyNotice notice) { notices.push_back(notice); };
    setup.on_change = [this] { phases.emplace_back(name_of(phase())); };
    service.emplace(io, processes, *ledger, std::move(setup));
  }

  Phase phase() { return service->service().state().phase; }
  void launch() {
    service->service().post(ServiceEventKind::kWantUp);
    settle();
    take_over();
  }
  // The test is now the proxy that was launched last.
  void take_over() {
    ASSERT_EQ(processes.last().fds.size(), 3u);
    proxy = ProxyEnd(std::move(processes.last().fds[kControlFd - kListenerFd]));
  }
  void become_ready() {
    launch();
    proxy.say(encode(ProxyNotice::kServing));
    settle();
    ASSERT_EQ(phase(), Phase::kReady);
  }
  bool relaunched() {
    const bool gone = run_until(io, [&] { return phase() == Phase::kBackoff; });
    clock.skip(io, 100ms);
    return gone && phase() == Phase::kStarting;
  }
  std::uint64_t owner() { return std::stoull(processes.last().spec.args.at(3)); }
  static WorkerState state_of(ModelPhase phase, const std::string& key = {}) {
    WorkerState state;
    state.phase = phase;
    if (!key.empty()) state.public_keys = {key};
    return state;
  }
  // The states that have come to the proxy, by their keys.
  std::vector<std::string> heard() {
    settle();
    std::vector<std::string> keys;
    while (auto line = proxy.next_line()) {
      const WorkerState state = decode_state(*line).value();
      keys.push_back(std::string(phase_name(state.phase)) +
                     (state.public_keys.empty() ? "" : " " + state.public_keys[0]));
    }
    return keys;
  }
  void settle() {
    io.restart();
    io.poll();
  }

  MovableClock clock;
  TemporaryFolder folder;
  asio::io_context io;
  FakeProcessRunner processes;
  std::unique_ptr<Ledger> ledger = Ledger::create(folder / "ledger", "test").value();
  UniqueFd listener{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  UniqueFd session_listener{::open("/dev/null", O_RDONLY | O_CLOEXEC)};
  std::vector<ProxyNotice> notices;
  std::vector<std::string> phases;
  std::optional<ProxyService> service;
  ProxyEnd proxy;
};

TEST_F(ProxyServiceTest, LaunchesTheProxyOnTheListenerWithNothingOfOurEnvironment) {
  ::setenv("MASTER_TOKEN", "token", 1);
  launch();
  ::unsetenv("MASTER_TOKEN");
  const ProcessSpec& spec = processes.last().spec;
  EXPECT_EQ(spec.program, "/opt/bin/cppworker-proxy");
  EXPECT_THAT(spec.args, ElementsAre("--settings", "/run/worker/proxy.json", "--owner", testing::Ne("0")));
  EXPECT_THAT(spec.environment,
              ElementsAre("CPPWORKER_TREE=" + service->service().tree_mark(), StartsWith("GLIBC_TUNABLES=")))
      << "it parses strangers' bytes";
  EXPECT_EQ(spec.pass_fds.at(kListenerFd - 3), listener.get());
  EXPECT_EQ(spec.pass_fds.at(kSessionListenerFd - 3), session_listener.get());
  EXPECT_FALSE(spec.capture_output) << "it logs as we do, to the same place";
}

TEST_F(ProxyServiceTest, KeepsNoCopyOfTheProxysEndOfTheSocket) {
  launch();
  const int fd = processes.last().spec.pass_fds.at(kControlFd - 3);
  struct stat found {};
  EXPECT_NE(::fstat(fd, &found), 0) << "the proxy's end would outlive the proxy";
}

TEST_F(ProxyServiceTest, IsReadyWhenTheProxySaysThatItServes) {
  launch();
  settle();
  EXPECT_EQ(phase(), Phase::kStarting);
  proxy.say(encode(ProxyNotice::kServing));
  settle();
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_THAT(phases, ElementsAre("starting", "ready"));
}

TEST_F(ProxyServiceTest, HandsOnTheProxysNotices) {
  become_ready();
  proxy.say("garbage\n" + encode(ProxyNotice::kSignaturesFailing) + encode(ProxyNotice::kDrained));
  settle();
  EXPECT_THAT(notices,
              ElementsAre(ProxyNotice::kServing, ProxyNotice::kSignaturesFailing, ProxyNotice::kDrained));
}

TEST_F(ProxyServiceTest, TellsTheProxyTheStateAtItsStartAndWithEachChange) {
  service->set_state(state_of(ModelPhase::kLoading, "first"));
  launch();
  EXPECT_THAT(heard(), ElementsAre("loading first"));
  service->set_state(state_of(ModelPhase::kReady, "second"));
  EXPECT_THAT(heard(), ElementsAre("ready second"));
}

// Clients wait in the listener's backlog meanwhile, and know nothing of it.
TEST_F(ProxyServiceTest, ReplacesADeadProxyAtOnceAndTellsItAll) {
  become_ready();
  service->set_state(state_of(ModelPhase::kReady, "key"));
  const std::uint64_t first = owner();
  processes.exit_by_signal(SIGSEGV);
  ASSERT_TRUE(relaunched());
  EXPECT_NE(owner(), first) << "the books of the two must not mix";
  EXPECT_EQ(processes.last().spec.pass_fds.at(0), listener.get());
  take_over();
  EXPECT_THAT(heard(), ElementsAre("ready key"));
  proxy.say(encode(ProxyNotice::kServing));
  settle();
  EXPECT_EQ(phase(), Phase::kReady);
}

TEST_F(ProxyServiceTest, HearsNothingMoreFromADeadProxysSocket) {
  become_ready();
  ProxyEnd dead = std::move(proxy);
  processes.exit_by_signal(SIGSEGV);
  ASSERT_TRUE(relaunched());
  notices.clear();
  dead.say(encode(ProxyNotice::kServing));
  settle();
  EXPECT_THAT(notices, IsEmpty());
  EXPECT_EQ(phase(), Phase::kStarting) << "the next proxy hasn't said anything yet";
}

// The autoscaler counts on hearing of each request that it has routed here.
TEST_F(ProxyServiceTest, SettlesWhatADeadProxyHadInFlight) {
  become_ready();
  Acceptance request;
  request.work_milli = 5000;
  request.request_idx = 42;
  ASSERT_EQ(ledger->accept(owner(), request).first, Verdict::kAccepted);
  ASSERT_EQ(ledger->accept(owner() ^ 2, request).first, Verdict::kAccepted);  // of another proxy
  EXPECT_EQ(ledger->snapshot().in_flight_amount.requests, 2);
  processes.exit_by_signal(SIGKILL);
  EXPECT_EQ(ledger->snapshot().in_flight_amount.requests, 1);
  EXPECT_EQ(ledger->snapshot().totals.errored.work_milli, 5000);
  EXPECT_THAT(ledger->finished(false, 10), ElementsAre(42));
}

TEST_F(ProxyServiceTest, StopsAProxyThatIsNotServingInTime) {
  launch();
  clock.skip(io, 9s);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
  clock.skip(io, 2s);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM));
}

TEST_F(ProxyServiceTest, KillsAProxyThatDoesNotStop) {
  become_ready();
  service->service().post(ServiceEventKind::kWantDown);
  settle();
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM));
  clock.skip(io, 4s);
  EXPECT_THAT(processes.last().group_signals, IsEmpty());
  clock.skip(io, 2s);
  EXPECT_THAT(processes.last().group_signals, ElementsAre(SIGKILL));
}

// Its process lives, its loops don't: nothing but its silence shows it.
TEST_F(ProxyServiceTest, ReplacesAProxyThatHangs) {
  become_ready();
  for (auto passed = 0s; passed < kAliveTimeout; passed += kAliveInterval) clock.skip(io, kAliveInterval);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
  clock.skip(io, kAliveInterval);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM, SIGKILL));
  processes.exit_by_signal(SIGKILL);
  EXPECT_TRUE(relaunched());
}

// A machine that was suspended, a container that was frozen: the clock went on, and nobody ran.
TEST_F(ProxyServiceTest, LeavesAProxyAloneThatWasStoppedTogetherWithUs) {
  become_ready();
  for (int stop = 0; stop < 3; ++stop) {
    clock.skip(io, 3h);
    EXPECT_THAT(processes.last().leader_signals, IsEmpty()) << "it hasn't had its turn yet";
    for (auto passed = 2s; passed < kAliveTimeout; passed += kAliveInterval) clock.skip(io, kAliveInterval);
    proxy.say(encode(ProxyNotice::kAlive));
    settle();
  }
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ProxyServiceTest, HearsWhatLaySinceBeforeTheStopInTheSocket) {
  become_ready();
  for (auto passed = 0s; passed < kAliveTimeout; passed += kAliveInterval) clock.skip(io, kAliveInterval);
  proxy.say(encode(ProxyNotice::kAlive));
  clock.skip(io, 3h);  // the count that is due now would be one too many
  settle();
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ProxyServiceTest, LeavesAProxyAloneThatSaysItIsAlive) {
  become_ready();
  for (int second = 0; second < 60; ++second) {
    clock.skip(io, kAliveInterval);
    proxy.say(encode(ProxyNotice::kAlive));
    settle();
  }
  EXPECT_EQ(phase(), Phase::kReady);
  EXPECT_THAT(processes.last().leader_signals, IsEmpty());
}

TEST_F(ProxyServiceTest, TriesAgainWhenTheProxyCannotBeStarted) {
  processes.spawn_error = "cannot start the proxy: No such file or directory";
  service->service().post(ServiceEventKind::kWantUp);
  ASSERT_TRUE(run_until(io, [&] { return phase() == Phase::kBackoff; }));
  processes.spawn_error.reset();
  clock.skip(io, 100ms);
  ASSERT_EQ(processes.launches(), 1u);
  take_over();
  EXPECT_THAT(heard(), ElementsAre("loading"));
}

}  // namespace
}  // namespace cppworker
