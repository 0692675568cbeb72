#include "supervisor/reload_plan.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

using nlohmann::json;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::UnorderedElementsAre;

class ReloadPlanTest : public testing::Test {
 protected:
  ReloadPlanTest() {
    present.report_addresses = {*parse_url("https://run.vast.ai")};
    present.proxy.server_url = "http://127.0.0.1:5001";
    read.report_addresses = present.report_addresses;
    backend.document = {{"name", "tgi"},
                        {"server", {{"url", "http://127.0.0.1:5001"}}},
                        {"launch", {{"script", "launch.sh"}}},
                        {"endpoints", {{{"method", "POST"}, {"path", "/generate"}, {"workload", 1}}}}};
    read_backend = backend;
    present.proxy.backend = part_for_proxy(backend.document);
  }
  ReloadPlan plan() { return plan_reload(present, backend, read, read_backend); }

  Settings present, read;
  BackendDefinition backend, read_backend;
};

TEST_F(ReloadPlanTest, DoesNothingWhenNothingHasChanged) {
  EXPECT_THAT(plan().applied, IsEmpty());
  EXPECT_THAT(plan().needs_restart, IsEmpty());
  EXPECT_FALSE(plan().replace_proxy) << "what the backend had added to the proxy's settings is no change";
}

TEST_F(ReloadPlanTest, AppliesAtOnceWhatTheSupervisorAloneGoesBy) {
  read.drain_timeout_s = 7;
  read.report_addresses.push_back(*parse_url("http://127.0.0.1:9"));
  const ReloadPlan made = plan();
  EXPECT_THAT(made.applied, UnorderedElementsAre("drain_timeout_s", "report_addresses"));
  EXPECT_FALSE(made.replace_proxy);
  EXPECT_EQ(made.settings.drain_timeout_s, 7);
  EXPECT_EQ(made.settings.report_addresses.size(), 2u);
}

TEST_F(ReloadPlanTest, GivesLimitsToANewProxy) {
  read.proxy.max_queue = 7;
  const ReloadPlan made = plan();
  EXPECT_THAT(made.applied, ElementsAre("proxy/max_queue"));
  EXPECT_TRUE(made.replace_proxy);
  EXPECT_EQ(made.settings.proxy.max_queue, 7);
  EXPECT_EQ(made.settings.proxy.backend, present.proxy.backend) << "which read_settings doesn't know";
}

// A new proxy would ask for TLS, and nobody would look after a certificate for it.
TEST_F(ReloadPlanTest, LeavesTlsAsItIs) {
  read.proxy.tls = true;
  read.tls.key = "/elsewhere.key";
  const ReloadPlan made = plan();
  EXPECT_THAT(made.needs_restart, ElementsAre("tls"));
  EXPECT_FALSE(made.replace_proxy);
  EXPECT_FALSE(made.settings.proxy.tls);
}

TEST_F(ReloadPlanTest, ChangesTheLevelOfBothLogs) {
  read.log_level = read.proxy.log_level = "debug";
  const ReloadPlan made = plan();
  EXPECT_THAT(made.applied, ElementsAre("log_level"));
  EXPECT_TRUE(made.replace_proxy);
}

TEST_F(ReloadPlanTest, GivesEndpointsToANewProxy) {
  read_backend.document["endpoints"][0]["workload"] = 2;
  read_backend.document["server"]["parallel"] = false;
  read_backend.document["description"] = "for people";
  const ReloadPlan made = plan();
  EXPECT_THAT(made.applied, UnorderedElementsAre("backend.json: endpoints", "backend.json: server"));
  EXPECT_TRUE(made.replace_proxy);
  EXPECT_THAT(made.needs_restart, IsEmpty());
  EXPECT_EQ(made.settings.proxy.backend, part_for_proxy(read_backend.document));
  backend.document = made.document;
  EXPECT_FALSE(plan().replace_proxy) << "once";
}

// A load costs up to an hour: nobody gets one by editing a file.
TEST_F(ReloadPlanTest, NeverTouchesTheModel) {
  read_backend.document["launch"]["script"] = "other.sh";
  read_backend.document["startup"] = {{"deadline_s", 60}};
  read_backend.document["server"]["url"] = "http://127.0.0.1:5002";
  read.port = 4000;
  read.run_dir = "/elsewhere";
  const ReloadPlan made = plan();
  EXPECT_THAT(made.applied, IsEmpty());
  EXPECT_FALSE(made.replace_proxy);
  EXPECT_THAT(made.needs_restart, UnorderedElementsAre("port", "run_dir", "backend.json: launch",
                                                       "backend.json: startup", "backend.json: server/url"));
  EXPECT_EQ(made.settings.port, present.port);
  EXPECT_EQ(made.document, backend.document) << "it is said again with the next reload";
}

// Values other than the defaults; an integer or a boolean of the schema with a default needs none.
const json kOthers = {{"/backend", "tgi"},
                      {"/backend_dirs", {"elsewhere"}},
                      {"/run_dir", "/elsewhere"},
                      {"/log_level", "debug"},
                      {"/log_format", "json"},
                      {"/listen_address", "127.0.0.9"},
                      {"/port", 4000},
                      {"/session_port", 4001},
                      {"/admin_address", "127.0.0.9"},
                      {"/admin_port", 4002},
                      {"/report_addresses", {"http://127.0.0.1:9"}},
                      {"/public_url", "https://203.0.113.9:41234"},
                      {"/public_key", "/elsewhere.pem"},
                      {"/server_url", "http://127.0.0.1:5009"},
                      {"/tls/certificate", "/elsewhere.crt"},
                      {"/tls/key", "/elsewhere.key"},
                      {"/tls/sign_url", "http://127.0.0.1:9/sign"},
                      {"/model_log", "/var/log/model.log"},
                      {"/proxy/user", "root"}};

json another_value(const std::string& pointer, const json& schema) {
  if (kOthers.contains(pointer)) return kOthers[pointer];
  if (schema.value("type", "") == "boolean") return !schema.at("default").get<bool>();
  return schema.at("default").get<std::int64_t>() + 1;
}

// A setting that the plan forgets could be changed in the file, and nothing would come of it or be said.
TEST(ReloadPlanOfAFile, AppliesOrNamesEverySettingThatThereIs) {
  const TemporaryFolder folder;
  const auto read = [&](const json& file) {
    std::ofstream(folder / "cppworker.json", std::ios::trunc) << file.dump();
    const auto variable = [](const char* name) -> std::optional<std::string> {
      if (std::string_view(name) == "UNSECURED") return "true";
      return std::nullopt;
    };
    Flags flags;
    flags.config = folder / "cppworker.json";
    return read_settings(flags, variable, CPPWORKER_SOURCE_DIR).value();
  };
  const Settings present = read(json::object());
  const json schema = json::parse(std::ifstream(CPPWORKER_SOURCE_DIR "/etc/cppworker.schema.json"));
  int looked_at = 0;
  const auto look = [&](const std::string& pointer, const json& about, const std::string& name) {
    json file = json::object();
    file[json::json_pointer(pointer)] = another_value(pointer, about);
    const ReloadPlan made = plan_reload(present, {}, read(file), {});
    std::vector<std::string> named = made.applied;
    named.insert(named.end(), made.needs_restart.begin(), made.needs_restart.end());
    EXPECT_THAT(named, testing::Contains(name)) << pointer;
    ++looked_at;
  };
  for (const auto& [key, about] : schema["properties"].items()) {
    if (key == "$schema") continue;
    if (!about.contains("properties")) {
      look("/" + key, about, key);
      continue;
    }
    for (const auto& [inner, about_inner] : about["properties"].items())
      look("/" + key + "/" + inner, about_inner, key == "proxy" ? "proxy/" + inner : key);
  }
  EXPECT_GT(looked_at, 30);
}

}  // namespace
}  // namespace cppworker
