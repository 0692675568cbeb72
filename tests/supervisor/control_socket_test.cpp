#include "supervisor/control_socket.hpp"

#include <gmock/gmock.h>

#include "tests/supervisor/proxy_end.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class ControlSocketTest : public testing::Test {
 protected:
  ControlSocketTest() {
    auto pair = ControlSocket::make_pair(io.get_executor(),
                                         [this](ProxyNotice notice) { notices.push_back(notice); });
    if (!pair) throw std::runtime_error(pair.error().message);
    ours = std::move(pair->ours);
    proxy = ProxyEnd(std::move(pair->theirs));
  }

  static WorkerState state_of(ModelPhase phase, std::vector<std::string> keys = {}) {
    WorkerState state;
    state.phase = phase;
    state.public_keys = std::move(keys);
    return state;
  }
  // The next state that the proxy reads.
  WorkerState heard() {
    std::optional<std::string> line;
    EXPECT_TRUE(run_until(io, [&] { return (line = proxy.next_line()).has_value(); }));
    auto state = decode_state(line.value_or(""));
    EXPECT_TRUE(state) << line.value_or("");
    return state ? *state : WorkerState();
  }
  // Lets the socket take in what lies there.
  void settle() {
    io.restart();
    io.poll();
  }

  asio::io_context io;
  std::shared_ptr<ControlSocket> ours;
  ProxyEnd proxy;
  std::vector<ProxyNotice> notices;
};

TEST_F(ControlSocketTest, CarriesStatesToTheProxy) {
  const WorkerState first = state_of(ModelPhase::kLoading);
  const WorkerState second = state_of(ModelPhase::kReady, {"new\nkey\n", "old"});
  ours->send(first);
  EXPECT_EQ(heard(), first);
  ours->send(second);
  EXPECT_EQ(heard(), second);
}

TEST_F(ControlSocketTest, TakesNoticesHoweverTheyAreCut) {
  const std::string serving = encode(ProxyNotice::kServing),
                    failing = encode(ProxyNotice::kSignaturesFailing),
                    drained = encode(ProxyNotice::kDrained);
  proxy.say(serving.substr(0, 7));
  settle();
  EXPECT_THAT(notices, IsEmpty()) << "half a line says nothing yet";
  proxy.say(serving.substr(7) + failing + drained.substr(0, 1));
  settle();
  EXPECT_THAT(notices, ElementsAre(ProxyNotice::kServing, ProxyNotice::kSignaturesFailing));
  proxy.say(drained.substr(1));
  settle();
  EXPECT_THAT(notices,
              ElementsAre(ProxyNotice::kServing, ProxyNotice::kSignaturesFailing, ProxyNotice::kDrained));
}

// The proxy parses strangers' bytes: what it says is not believed to be well formed.
TEST_F(ControlSocketTest, PassesOverWhatItDoesNotUnderstand) {
  proxy.say("\n{\n\xff\xfe\n[]\n{\"notice\":\"root\"}\n" + std::string(1000, '[') + "\n" +
            encode(ProxyNotice::kServing));
  settle();
  EXPECT_THAT(notices, ElementsAre(ProxyNotice::kServing));
}

TEST_F(ControlSocketTest, KeepsNoLineThatNeverEnds) {
  const std::string piece(kLongestControlMessage, 'x');
  std::size_t taken = 0;
  // The kernel buffers some; what goes beyond that and one message is kept by nobody.
  for (int i = 0; i < 100; ++i) {
    taken += proxy.say(piece);
    settle();
  }
  EXPECT_LT(taken, 100 * piece.size() / 2);
  EXPECT_THAT(notices, IsEmpty());
}

TEST_F(ControlSocketTest, ANoticeThatIsLostHalfwayIsNone) {
  proxy.say(encode(ProxyNotice::kServing).substr(0, 10));
  settle();
  proxy.close();
  settle();
  EXPECT_THAT(notices, IsEmpty());
}

TEST_F(ControlSocketTest, OutlivesTheProxysDeath) {
  proxy.close();
  settle();
  for (int i = 0; i < 3; ++i) {
    ours->send(state_of(ModelPhase::kReady));  // a SIGPIPE would end the test
    settle();
  }
  ours->close();
  settle();
  EXPECT_EQ(ours.use_count(), 1) << "an operation holds it for ever";
}

TEST_F(ControlSocketTest, TakesNoMoreNoticesOnceClosed) {
  proxy.say(encode(ProxyNotice::kServing));
  ours->close();
  settle();
  EXPECT_THAT(notices, IsEmpty());
  EXPECT_TRUE(run_until(io, [&] { return proxy.over(); }));
}

TEST_F(ControlSocketTest, TellsTheProxyToLookOnceForAllThatItHasNotHeard) {
  const std::string key(kLongestControlMessage / 2, 'k');
  for (int i = 0; i < 10; ++i) ours->send(state_of(ModelPhase::kLoading, {key}));
  settle();  // the proxy doesn't read: what comes now waits
  for (int i = 0; i < 10; ++i) ours->send_look();
  ours->send(state_of(ModelPhase::kReady));
  int looks = 0;
  bool ready = false;
  std::optional<std::string> line;
  while (!ready || looks == 0) {
    ASSERT_TRUE(run_until(io, [&] { return (line = proxy.next_line()).has_value(); }));
    if (*line == kLookMessage)
      ++looks;
    else
      ready = decode_state(*line).value().phase == ModelPhase::kReady;
  }
  settle();
  EXPECT_EQ(proxy.next_line(), std::nullopt);
  EXPECT_EQ(looks, 1);
}

// A proxy that hangs costs no memory, and hears the newest when it wakes up.
TEST_F(ControlSocketTest, SpareASlowProxyTheStatesInBetween) {
  const std::string key(kLongestControlMessage / 2, 'k');
  constexpr int kStates = 1000;
  for (int i = 1; i <= kStates; ++i) {
    ours->send(state_of(ModelPhase::kLoading, {key, std::to_string(i)}));
    settle();
  }
  ours->send(state_of(ModelPhase::kReady, {"newest"}));

  int states = 0, last = 0;
  WorkerState state;
  do {
    state = heard();
    if (state.phase == ModelPhase::kReady) break;
    ASSERT_EQ(state.public_keys.size(), 2u);
    EXPECT_EQ(state.public_keys[0], key);
    EXPECT_GT(std::stoi(state.public_keys[1]), last) << "an older state after a newer one";
    last = std::stoi(state.public_keys[1]);
    ++states;
  } while (states <= kStates);
  EXPECT_THAT(state.public_keys, ElementsAre("newest"));
  EXPECT_LT(states, kStates / 2) << "they were queued";
  EXPECT_EQ(proxy.next_line(), std::nullopt);
}

}  // namespace
}  // namespace cppworker
