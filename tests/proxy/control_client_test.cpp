#include "proxy/control_client.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/socket.h>

#include <stdexcept>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/io_context.hpp>

#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;

// The proxy's end in a ControlClient, the supervisor's in the test's hand. What is written is there at once:
// polling the loop is enough.
class ControlClientTest : public testing::Test {
 protected:
  ControlClientTest() {
    int ends[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends) != 0)
      throw std::runtime_error("cannot make a socket pair");
    supervisor_.reset(ends[0]);
    client_ = std::make_unique<ControlClient>(io_.get_executor(), ends[1]);
    asio::co_spawn(
        io_,
        client_->run([this](const WorkerState& state) { states_.push_back(state); }, [this] { ++looks_; }),
        [this](std::exception_ptr error) {
          EXPECT_EQ(error, nullptr);
          ended_ = true;
        });
  }

  void say(std::string_view bytes) {
    ASSERT_EQ(::send(supervisor_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL),
              static_cast<ssize_t>(bytes.size()));
    io_.restart();
    io_.poll();
  }
  std::string hear() {
    char bytes[1000];
    ssize_t n = ::recv(supervisor_.get(), bytes, sizeof bytes, MSG_DONTWAIT);
    return n > 0 ? std::string(bytes, static_cast<std::size_t>(n)) : std::string();
  }
  static WorkerState state(ModelPhase phase, std::vector<std::string> keys = {}) {
    WorkerState made;
    made.phase = phase;
    made.public_keys = std::move(keys);
    return made;
  }

  asio::io_context io_{1};
  UniqueFd supervisor_;
  std::unique_ptr<ControlClient> client_;
  std::vector<WorkerState> states_;
  int looks_ = 0;
  bool ended_ = false;
};

TEST_F(ControlClientTest, HandsEachStateOver) {
  say(encode(state(ModelPhase::kLoading)));
  EXPECT_THAT(states_, ElementsAre(state(ModelPhase::kLoading)));
  say(encode(state(ModelPhase::kReady, {"key one\n", "key two\n"})));
  EXPECT_EQ(states_.back(), state(ModelPhase::kReady, {"key one\n", "key two\n"}));
  EXPECT_FALSE(ended_);
}

TEST_F(ControlClientTest, LinesMayComeInPiecesAndTogether) {
  std::string both = encode(state(ModelPhase::kReady, {"key"})) + encode(state(ModelPhase::kDraining));
  for (std::size_t cut = 1; cut < both.size(); ++cut) {
    states_.clear();
    say(both.substr(0, cut));
    say(both.substr(cut));
    ASSERT_THAT(states_, ElementsAre(state(ModelPhase::kReady, {"key"}), state(ModelPhase::kDraining)))
        << "cut at " << cut;
  }
}

TEST_F(ControlClientTest, ALineThatCannotBeUnderstoodIsPassedOver) {
  say("rubbish\n{}\n" + encode(state(ModelPhase::kReady)));
  EXPECT_THAT(states_, ElementsAre(state(ModelPhase::kReady)));
  EXPECT_FALSE(ended_);
}

TEST_F(ControlClientTest, TakesTheWordThatAnotherProxyHasChangedTheLedger) {
  say(std::string(kLookMessage) + encode(state(ModelPhase::kReady)) + std::string(kLookMessage));
  EXPECT_EQ(looks_, 2);
  EXPECT_THAT(states_, ElementsAre(state(ModelPhase::kReady)));
}

// It says so each second, and for hours.
TEST_F(ControlClientTest, ASupervisorThatReadsNothingDoesNotStopTheProxy) {
  for (int i = 0; i < 100'000; ++i)
    client_->send(i % 2 == 0 ? ProxyNotice::kAlive : ProxyNotice::kTellOthers);
  EXPECT_THAT(hear(), testing::StartsWith(encode(ProxyNotice::kAlive) + encode(ProxyNotice::kTellOthers)));
}

TEST_F(ControlClientTest, EndsWithTheSupervisor) {
  say(encode(state(ModelPhase::kReady)));
  supervisor_.reset();
  io_.restart();
  io_.poll();
  EXPECT_TRUE(ended_);
  EXPECT_EQ(states_.size(), 1u);
}

TEST_F(ControlClientTest, HalfALineAtTheEndIsNoState) {
  say("{\"model\":\"ready\",\"public_keys\":[]}");
  supervisor_.reset();
  io_.restart();
  io_.poll();
  EXPECT_TRUE(ended_);
  EXPECT_THAT(states_, IsEmpty());
}

// Nothing sensible is that long: the other side has a bug, and the supervisor starts another proxy.
TEST_F(ControlClientTest, ALineWithoutEndEndsIt) {
  for (std::size_t sent = 0; sent <= kLongestControlMessage && !ended_; sent += 1000)
    say(std::string(1000, 'x'));
  EXPECT_TRUE(ended_);
}

TEST_F(ControlClientTest, TheLongestMessageThatIsAllowedIsTaken) {
  WorkerState large = state(ModelPhase::kReady, {""});
  large.public_keys[0] = std::string(kLongestControlMessage - encode(large).size(), 'k');
  std::string line = encode(large);
  ASSERT_EQ(line.size(), kLongestControlMessage);
  for (std::size_t at = 0; at < line.size(); at += 1000) say(line.substr(at, 1000));
  EXPECT_THAT(states_, ElementsAre(large));
}

TEST_F(ControlClientTest, SendsNoticesAsLines) {
  client_->send(ProxyNotice::kServing);
  client_->send(ProxyNotice::kSignaturesFailing);
  client_->send(ProxyNotice::kDrained);
  EXPECT_EQ(hear(), encode(ProxyNotice::kServing) + encode(ProxyNotice::kSignaturesFailing) +
                        encode(ProxyNotice::kDrained));
}

// By a SIGPIPE, it would.
TEST_F(ControlClientTest, ANoticeToNobodyDoesNotEndTheProcess) {
  supervisor_.reset();
  client_->send(ProxyNotice::kServing);
}

}  // namespace
}  // namespace cppworker
