#include "proxy/state_handover.hpp"

#include <gtest/gtest.h>

#include "tests/proxy/running_proxy.hpp"

namespace cppworker {
namespace {

// Threads whose loops turn when the test says so. None of the core is used.
class StateHandoverTest : public testing::Test {
 protected:
  StateHandoverTest() {
    for (int i = 0; i < 3; ++i)
      threads_.push_back(std::make_unique<ProxyThread>(proxy_.core(), asio::ip::tcp::endpoint()));
  }
  void turn(std::size_t thread) {
    threads_[thread]->io.restart();
    threads_[thread]->io.poll();
  }

  RunningProxy proxy_{ProxySetup(), 1};
  std::vector<std::unique_ptr<ProxyThread>> threads_;
};

// A thread that still goes by the old state lets requests in: a proxy that said "drained" before it had taken
// the new one would be stopped with them.
TEST_F(StateHandoverTest, IsDoneWhenTheLastThreadHasTakenTheState) {
  int done = 0;
  LiveState draining;
  draining.phase = ModelPhase::kDraining;
  hand_over(draining, threads_, [&] { ++done; });
  turn(0);
  turn(1);
  turn(0);
  EXPECT_EQ(threads_[0]->live.phase, ModelPhase::kDraining);
  EXPECT_EQ(threads_[2]->live.phase, ModelPhase::kLoading);
  EXPECT_EQ(done, 0);
  turn(2);
  EXPECT_EQ(threads_[2]->live.phase, ModelPhase::kDraining);
  turn(0);
  EXPECT_EQ(done, 1);
}

TEST_F(StateHandoverTest, TheEpochGrowsWithThePhaseAlone) {
  LiveState live;
  live.phase = ModelPhase::kReady;
  for (int i = 0; i < 2; ++i) {
    hand_over(live, threads_);
    turn(0);
    EXPECT_EQ(threads_[0]->live.epoch, 1u);
  }
  live.phase = ModelPhase::kUnhealthy;
  hand_over(live, threads_);
  turn(0);
  EXPECT_EQ(threads_[0]->live.epoch, 2u);
}

}  // namespace
}  // namespace cppworker
