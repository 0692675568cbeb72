#include "common/worker_state.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "common/proxy_settings.hpp"

namespace cppworker {
namespace {

TEST(WorkerStateTest, ComesBackAsItWasSent) {
  for (ModelPhase phase :
       {ModelPhase::kLoading, ModelPhase::kReady, ModelPhase::kUnhealthy, ModelPhase::kDraining}) {
    WorkerState state{phase, {"-----BEGIN PUBLIC KEY-----\nA\n", "second"}};
    std::string line = encode(state);
    EXPECT_EQ(line.find('\n'), line.size() - 1) << "one line";
    auto decoded = decode_state(line);
    ASSERT_TRUE(decoded);
    EXPECT_EQ(*decoded, state);
  }
  for (ProxyNotice notice : {ProxyNotice::kServing, ProxyNotice::kSignaturesFailing, ProxyNotice::kDrained})
    EXPECT_EQ(decode_notice(encode(notice)).value(), notice);
}

TEST(WorkerStateTest, RefusesWhatItDoesNotKnow) {
  for (const char* line : {"", "{}", "[]", R"({"model":"asleep","public_keys":[]})", R"({"model":"ready"})",
                           R"({"model":"ready","public_keys":[1]})", R"({"model":1,"public_keys":[]})"})
    EXPECT_FALSE(decode_state(line)) << line;
  for (const char* line : {"", "{}", R"({"notice":"x"})", R"({"notice":3})"})
    EXPECT_FALSE(decode_notice(line)) << line;
}

class ProxySettingsTest : public ::testing::Test {
 protected:
  ProxySettingsTest()
      : path_(::testing::TempDir() + "/proxy-settings-" + std::to_string(::getpid()) + ".json") {}
  ~ProxySettingsTest() override { std::remove(path_.c_str()); }
  std::string path_;
};

TEST_F(ProxySettingsTest, ReadsWhatWasWritten) {
  ProxySettings settings;
  settings.backend_folder = "/opt/launchers/tgi";
  settings.own_url = "http://203.0.113.9:41234";
  settings.unsecured = true;
  settings.max_queue = 7;
  std::ofstream(path_) << encode(settings);
  auto read = load_proxy_settings(path_);
  ASSERT_TRUE(read) << read.error().message;
  EXPECT_EQ(encode(*read), encode(settings));
}

TEST_F(ProxySettingsTest, NamesTheMemberOfTheWrongType) {
  std::string text = encode(ProxySettings{});
  text.replace(text.find("\"threads\": 2"), 12, "\"threads\": []");
  std::ofstream(path_) << text;
  auto read = load_proxy_settings(path_);
  ASSERT_FALSE(read);
  EXPECT_NE(read.error().message.find("/threads"), std::string::npos);
}

}  // namespace
}  // namespace cppworker
