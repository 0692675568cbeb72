#include "common/proxy_settings.hpp"

#include <gmock/gmock.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;
using testing::StartsWith;

class ProxySettingsTest : public testing::Test {
 protected:
  Result<ProxySettings> read(const std::string& text) {
    std::ofstream(path, std::ios::trunc) << text;
    return load_proxy_settings(path);
  }
  std::string refusal(const std::string& text) {
    const auto read_back = read(text);
    return read_back ? "(taken)" : read_back.error().message;
  }

  TemporaryFolder folder;
  const std::string path = folder / "proxy.json";
  nlohmann::json json = nlohmann::json::parse(encode(ProxySettings{}));
};

TEST_F(ProxySettingsTest, ReadWhatWasWritten) {
  ProxySettings written;
  written.backend = {{"server", {{"url", "http://127.0.0.1:5001"}}}};
  written.own_url = "http://203.0.113.9:41234";
  written.unsecured = true;
  written.max_body_bytes = std::int64_t{1} << 32;
  written.max_queue = 0;
  const auto got = read(encode(written));
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(got->backend, written.backend);
  EXPECT_EQ(got->own_url, written.own_url);
  EXPECT_TRUE(got->unsecured);
  EXPECT_EQ(got->max_body_bytes, std::int64_t{1} << 32);
  EXPECT_EQ(got->max_queue, 0);
}

TEST_F(ProxySettingsTest, ReadEveryMember) {
  for (auto& [key, value] : json.items()) {
    if (value.is_boolean())
      value = !value.get<bool>();
    else if (value.is_string())
      value = "another " + key;
    else if (value.is_object())
      value = {{"another", key}};
    else
      value = value.get<std::int64_t>() + 1;
  }
  const auto got = read(json.dump());
  ASSERT_TRUE(got) << got.error().message;
  EXPECT_EQ(nlohmann::json::parse(encode(*got)), json) << "a member kept its default";
}

// A proxy of another version than the supervisor, after half an update.
TEST_F(ProxySettingsTest, RefuseWhatAnotherVersionWrote) {
  for (const auto& [key, value] : json.items()) {
    nlohmann::json without = json;
    without.erase(key);
    EXPECT_EQ(refusal(without.dump()), path + ": /: needs a member \"" + key + "\"");
  }
  json["max_threads"] = 1;
  EXPECT_THAT(refusal(json.dump()), StartsWith(path + ": /max_threads: is not a known setting"));
}

TEST_F(ProxySettingsTest, NameTheMemberOfTheWrongType) {
  for (const char* key : {"threads", "ledger", "unsecured", "max_body_bytes"}) {
    nlohmann::json changed = json;
    changed[key] = nlohmann::json::array();
    EXPECT_EQ(refusal(changed.dump()), path + ": /" + key + ": has the wrong type, is []");
  }
}

TEST_F(ProxySettingsTest, RefuseWhatIsNoSettings) {
  EXPECT_THAT(refusal(""), StartsWith(path + ": is not JSON"));
  EXPECT_THAT(refusal(json.dump().substr(0, 20)), StartsWith(path + ": is not JSON at line 1"));
  EXPECT_EQ(refusal("[]"), path + ": /: must be an object, is []");
  const auto missing = load_proxy_settings(folder / "none.json");
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message, folder / "none.json" + ": cannot be read: No such file or directory");
}

}  // namespace
}  // namespace cppworker
