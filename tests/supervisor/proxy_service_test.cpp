#include "supervisor/proxy_service.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <fstream>
#include <functional>
#include <list>
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

// A proxy that does nothing from its start on, not even end: step by step, each wait as long as it was armed.
TEST(ProxyPolicy, GivesUpOnAProxyThatHangsInItsStart) {
  const ServicePolicy policy = proxy_policy(30);
  TimePoint now = TimePoint() + 1000h;
  ServiceState state;
  auto take = [&](ServiceEventKind kind) {
    const ServiceStep made =
        step(state, {.kind = kind, .generation = state.generation, .jitter = 1}, now, policy);
    state = made.state;
    for (const ServiceAction& action : made.actions)
      if (action.kind == ServiceActionKind::kArmDeadline) now += action.after;
  };
  take(ServiceEventKind::kWantUp);
  for (int hangs = 0; hangs < 100 && state.phase == Phase::kStarting; ++hangs) {
    take(ServiceEventKind::kDeadline);  // not ready in time: SIGTERM
    take(ServiceEventKind::kDeadline);  // which it doesn't heed: SIGKILL
    take(ServiceEventKind::kExited);
    take(ServiceEventKind::kTreeEmpty);
    if (state.phase == Phase::kBackoff) take(ServiceEventKind::kDeadline);
  }
  EXPECT_EQ(state.phase, Phase::kGaveUp);
  EXPECT_LT(now - (TimePoint() + 1000h), 5min);
}

// A proxy service whose proxy is played by the test: its process, and its end of the control socket.
class ProxyServiceTest : public testing::Test {
 protected:
  ProxyServiceTest() {
    ProxyServiceSetup setup;
    setup.program = "/opt/bin/cppworker-proxy";
    setup.settings_file = "/run/worker/proxy.json";
    setup.listener = listener.get();
    setup.session_listener = session_listener.get();
    setup.memory_group = folder.path();
    setup.on_notice = [this](ProxyNotice notice) { notices.push_back(notice); };
    setup.on_change = [this] {
      phases.emplace_back(name_of(phase()));
      if (on_change) on_change();
    };
    setup.on_give_up = [this](const Service& of) { given_up.emplace_back(of.last_error()); };
    service.emplace(io, processes, *ledger, std::move(setup));
  }

  Phase phase() { return service->service().state().phase; }
  void launch() {
    service->start();
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
  std::vector<std::string> phases, given_up;
  std::function<void()> on_change;
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

TEST_F(ProxyServiceTest, SaysThatAProxyWasKilledForLackOfMemory) {
  std::ofstream(folder / "memory.events") << "oom_kill 3\n";
  become_ready();
  std::ofstream(folder / "memory.events") << "oom_kill 4\n";
  processes.exit_by_signal(SIGKILL);
  EXPECT_THAT(service->service().last_error(), testing::EndsWith("signal 9 (SIGKILL), out of memory"));
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
  service->stop();
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
  service->start();
  ASSERT_TRUE(run_until(io, [&] { return phase() == Phase::kBackoff; }));
  processes.spawn_error.reset();
  clock.skip(io, 100ms);
  ASSERT_EQ(processes.launches(), 1u);
  take_over();
  EXPECT_THAT(heard(), ElementsAre("loading"));
}

// A reload, or a new version: nobody is refused, and no stream is cut.
class ProxyReplacementTest : public ProxyServiceTest {
 protected:
  // The one that serves is `proxy`; the one that is to take over is `second`, launched and silent so far.
  void begin_replacement() {
    become_ready();
    first = &processes.last();
    ASSERT_TRUE(service->replace([this] { ++failures; }));
    settle();
    ASSERT_EQ(processes.launches(), 2u);
    second = ProxyEnd(std::move(processes.last().fds[1]));
    heard();  // what the first was told before
  }
  void take_over_from_first() {
    begin_replacement();
    second.say(encode(ProxyNotice::kServing));
    settle();
    settle();
  }
  bool told_to_retire(ProxyEnd& end) {
    settle();
    bool retiring = false;
    while (auto line = end.next_line())
      if (*line != kLookMessage) retiring = decode_state(*line).value().retiring;
    return retiring;
  }
  bool ends(FakeProcessRunner::Launch& launch) {
    launch.running = false;
    launch.callbacks.on_exit({.kind = ExitStatus::Kind::kCode});
    return run_until(io, [&] { return launch.destroyed; });
  }

  FakeProcessRunner::Launch* first = nullptr;
  ProxyEnd second;
  int failures = 0;
};

TEST_F(ProxyReplacementTest, SharesTheListenerAndTellsTheNewOneAll) {
  service->set_state(state_of(ModelPhase::kReady, "key"));
  begin_replacement();
  EXPECT_EQ(processes.last().spec.pass_fds.at(0), listener.get());
  EXPECT_NE(processes.last().spec.args.at(3), first->spec.args.at(3)) << "books of their own";
  const WorkerState told = decode_state(second.next_line().value_or("")).value();
  EXPECT_EQ(told.phase, ModelPhase::kReady);
  EXPECT_FALSE(told.retiring);
  EXPECT_FALSE(told_to_retire(proxy)) << "not before the new one serves";
  EXPECT_EQ(service->service().pid(), first->pid);
}

TEST_F(ProxyReplacementTest, RetiresTheOldOneWhenTheNewOneServes) {
  take_over_from_first();
  EXPECT_EQ(service->service().pid(), processes.last().pid);
  EXPECT_EQ(service->retiring(), 1u);
  EXPECT_TRUE(told_to_retire(proxy));
  EXPECT_FALSE(told_to_retire(second));
  EXPECT_THAT(first->leader_signals, IsEmpty()) << "it has streams to finish";
  EXPECT_EQ(std::count(notices.begin(), notices.end(), ProxyNotice::kServing), 1) << "the worker serves on";
}

TEST_F(ProxyReplacementTest, StopsTheOldOneWhenItHasDrained) {
  take_over_from_first();
  clock.skip(io, 4s);  // streams; both say that they are alive
  proxy.say(encode(ProxyNotice::kDrained));
  settle();
  EXPECT_THAT(first->leader_signals, ElementsAre(SIGTERM));
  ASSERT_TRUE(ends(*first));
  settle();
  EXPECT_EQ(service->retiring(), 0u);
  EXPECT_EQ(service->service().state().phase, Phase::kReady);
  EXPECT_EQ(service->failures(), 0u);
  clock.skip(io, 11s);
  EXPECT_EQ(processes.launches(), 2u);
}

TEST_F(ProxyReplacementTest, TellsARetiringProxyOfTheModel) {
  take_over_from_first();
  service->set_state(state_of(ModelPhase::kUnhealthy));
  settle();
  std::optional<WorkerState> last;
  while (auto line = proxy.next_line()) last = decode_state(*line).value();
  ASSERT_TRUE(last);
  EXPECT_EQ(last->phase, ModelPhase::kUnhealthy) << "its held requests wait for the model, too";
  EXPECT_TRUE(last->retiring);
}

TEST_F(ProxyReplacementTest, HandsOnTheWordThatTheLedgerHasChanged) {
  take_over_from_first();
  told_to_retire(proxy), told_to_retire(second);  // what they were told before
  second.say(encode(ProxyNotice::kTellOthers));
  settle();
  EXPECT_EQ(proxy.next_line(), kLookMessage);
  EXPECT_EQ(second.next_line(), std::nullopt) << "it knows";
  EXPECT_EQ(std::count(notices.begin(), notices.end(), ProxyNotice::kTellOthers), 0);
}

// Its places at the inference server are free then.
TEST_F(ProxyReplacementTest, TellsTheOthersOfADeadOne) {
  take_over_from_first();
  told_to_retire(second);
  ASSERT_TRUE(ends(*first));
  settle();
  EXPECT_EQ(second.next_line(), kLookMessage);
}

TEST_F(ProxyReplacementTest, KeepsTheOldOneWhenTheNewOneFails) {
  begin_replacement();
  processes.exit_with_code(64);
  ASSERT_TRUE(run_until(io, [&] { return failures == 1; }));
  settle();
  EXPECT_EQ(service->service().pid(), first->pid);
  EXPECT_FALSE(told_to_retire(proxy));
  clock.skip(io, 1h);
  EXPECT_EQ(processes.launches(), 2u) << "it isn't tried again by itself";
}

TEST_F(ProxyReplacementTest, KeepsTheOldOneWhenTheNewOneHangs) {
  begin_replacement();
  for (int second_of = 0; second_of < 11; ++second_of) {
    proxy.say(encode(ProxyNotice::kAlive));
    clock.skip(io, 1s);
  }
  settle();
  EXPECT_EQ(failures, 1);
  EXPECT_THAT(processes.last().leader_signals, ElementsAre(SIGTERM));
  EXPECT_EQ(service->service().pid(), first->pid);
}

// It had died before the other took over, and waits for its next launch.
TEST_F(ProxyReplacementTest, DoesNotLaunchTheOldOneAgainThatIsNeededNoMore) {
  begin_replacement();
  first->running = false;
  first->callbacks.on_exit({.kind = ExitStatus::Kind::kSignal, .signal = SIGSEGV});
  ASSERT_TRUE(run_until(io, [&] { return phase() == Phase::kBackoff; }));
  second.say(encode(ProxyNotice::kServing));
  settle();
  settle();
  ASSERT_EQ(service->service().pid(), processes.last().pid);
  clock.skip(io, 5s);
  EXPECT_EQ(processes.launches(), 2u);
  EXPECT_EQ(service->retiring(), 0u);
}

// Whoever retires and dies has nothing that a successor could go on with.
TEST_F(ProxyReplacementTest, DoesNotLaunchARetiringProxyAgain) {
  take_over_from_first();
  Acceptance request;
  request.request_idx = 42;
  ASSERT_EQ(ledger->accept(std::stoull(first->spec.args.at(3)), request).first, Verdict::kAccepted);
  ASSERT_TRUE(ends(*first));
  settle();
  EXPECT_THAT(ledger->finished(false, 10), ElementsAre(42)) << "its requests are settled all the same";
  EXPECT_EQ(service->retiring(), 0u);
  clock.skip(io, 5s);
  EXPECT_EQ(processes.launches(), 2u);
}

// Its process stays behind, though another serves: the worker must not end as if nothing were.
TEST_F(ProxyReplacementTest, SaysThatARetiringProxyWithstandsSigkill) {
  take_over_from_first();
  proxy.say(encode(ProxyNotice::kDrained));
  for (int passed = 0; passed < 150; ++passed) {
    clock.skip(io, 1s);
    second.say(encode(ProxyNotice::kAlive));
    settle();
  }
  EXPECT_THAT(first->group_signals, testing::Contains(SIGKILL));
  EXPECT_THAT(given_up, ElementsAre(testing::HasSubstr("process " + std::to_string(first->pid))));
  EXPECT_EQ(phase(), Phase::kReady);
}

TEST_F(ProxyReplacementTest, IsRefusedWhileOneIsUnderWay) {
  begin_replacement();
  const auto again = service->replace([] {});
  ASSERT_FALSE(again);
  EXPECT_THAT(again.error().message, testing::HasSubstr("a new proxy is about to take over"));
}

// Each holds streams of hours, and costs memory and a place in the ledger.
TEST_F(ProxyReplacementTest, IsHinderedByTooManyThatStillFinish) {
  become_ready();
  std::vector<FakeProcessRunner::Launch*> retiring;
  std::list<ProxyEnd> ends_of_sockets;
  for (int i = 0; i < 4; ++i) {
    EXPECT_EQ(service->hindrance(), "");
    retiring.push_back(&processes.last());
    ASSERT_TRUE(service->replace([] {}));
    EXPECT_THAT(service->hindrance(), StartsWith("a new proxy"));
    settle();
    ends_of_sockets.emplace_back(std::move(processes.last().fds[kControlFd - kListenerFd]));
    ends_of_sockets.back().say(encode(ProxyNotice::kServing));
    settle();
    settle();
  }
  EXPECT_EQ(service->hindrance(), "4 earlier proxies still finish their requests");
  EXPECT_FALSE(service->replace([] {}));
  bool told = false;
  on_change = [&] { told = told || service->hindrance().empty(); };
  EXPECT_TRUE(ends(*retiring[1]));
  EXPECT_TRUE(run_until(io, [&] { return told; }));
}

TEST_F(ProxyReplacementTest, StopsAllOfThem) {
  take_over_from_first();
  FakeProcessRunner::Launch& serving = processes.last();
  EXPECT_FALSE(service->drained());
  proxy.say(encode(ProxyNotice::kDrained));
  settle();
  EXPECT_FALSE(service->drained()) << "the one that serves has said nothing";
  second.say(encode(ProxyNotice::kDrained));
  settle();
  EXPECT_TRUE(service->drained());
  service->stop();
  settle();
  EXPECT_THAT(serving.leader_signals, ElementsAre(SIGTERM));
  EXPECT_FALSE(service->is_over());
  EXPECT_TRUE(ends(*first));
  EXPECT_TRUE(ends(serving));
  EXPECT_TRUE(run_until(io, [&] { return service->is_over(); }));
}

}  // namespace
}  // namespace cppworker
