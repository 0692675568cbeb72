#include "common/worker_state.hpp"

#include <gtest/gtest.h>

namespace cppworker {
namespace {

TEST(WorkerStateTest, ComesBackAsItWasSent) {
  for (ModelPhase phase :
       {ModelPhase::kLoading, ModelPhase::kReady, ModelPhase::kUnhealthy, ModelPhase::kDraining}) {
    WorkerState state;
    state.phase = phase;
    state.public_keys = {"-----BEGIN PUBLIC KEY-----\nA\n", "second"};
    state.max_perf = 12.5;
    state.load_seconds = 30.25;
    state.update_digest = "ba78";
    state.retiring = phase == ModelPhase::kReady;
    std::string line = encode(state);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line";
    auto decoded = decode_state(line);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, state);
  }
  for (ProxyNotice notice : {ProxyNotice::kServing, ProxyNotice::kSignaturesFailing, ProxyNotice::kDrained,
                             ProxyNotice::kUpdateRequested, ProxyNotice::kAlive})
    EXPECT_EQ(decode_notice(encode(notice)).value(), notice);
}

TEST(WorkerStateTest, RefusesWhatItDoesNotKnow) {
  for (const char* line : {"", "{}", "[]", R"({"model":"asleep","public_keys":[]})", R"({"model":"ready"})",
                           R"({"model":"ready","public_keys":[1]})", R"({"model":1,"public_keys":[]})",
                           R"({"model":"ready","public_keys":[],"retiring":1})"})
    EXPECT_FALSE(decode_state(line)) << line;
  for (const char* line : {"", "{}", R"({"notice":"x"})", R"({"notice":3})"})
    EXPECT_FALSE(decode_notice(line)) << line;
}

}  // namespace
}  // namespace cppworker
