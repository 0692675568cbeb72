#include "supervisor/settings.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>
#include <map>

#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::AllOf;
using testing::ContainsRegex;
using testing::ElementsAre;
using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;
using testing::StartsWith;

// An installation's folder, an environment, and flags, all of the test's making.
class SettingsTest : public testing::Test {
 protected:
  SettingsTest() {
    std::filesystem::create_directories(home / "etc");
    // So that a worker of defaults may start.
    variables["UNSECURED"] = "true";
  }

  void write(const std::string& text) { std::ofstream(file, std::ios::trunc) << text; }
  Result<Settings> read() {
    return read_settings(
        flags,
        [this](const char* name) -> std::optional<std::string> {
          const auto found = variables.find(name);
          return found == variables.end() ? std::nullopt : std::optional(found->second);
        },
        home.path());
  }
  Settings settings() {
    auto made = read();
    EXPECT_TRUE(made) << made.error().message;
    return made ? *made : Settings();
  }
  std::string refusal() {
    const auto made = read();
    return made ? "(taken)" : made.error().message;
  }
  std::string refusal_of(const std::string& text) {
    write(text);
    return refusal();
  }
  // A worker that reports needs these.
  void report() {
    variables["CONTAINER_ID"] = "7";
    variables["MASTER_TOKEN"] = "token-of-the-account";
    variables["PUBLIC_IPADDR"] = "203.0.113.9";
    variables["VAST_TCP_PORT_3000"] = "41234";
  }

  TemporaryFolder home;
  const std::string file = home / "etc/cppworker.json";
  std::map<std::string, std::string> variables;
  Flags flags;
};

// Whoever asks a running worker has none of its variables.
TEST_F(SettingsTest, TellTheRunDirectoryWithoutWhatAWorkerNeeds) {
  variables.clear();
  ASSERT_FALSE(read());
  const auto run_dir = [this] {
    const auto nothing = [](const char*) -> std::optional<std::string> { return std::nullopt; };
    return read_run_dir(flags, nothing, home.path());
  };
  write(R"({"run_dir": "/of/file"})");
  EXPECT_EQ(*run_dir(), "/of/file");
  write(R"({"run_dri": "/of/file"})");
  EXPECT_FALSE(run_dir());
  flags.run_dir = "/of/flag";
  EXPECT_EQ(*run_dir(), "/of/flag") << "the file isn't asked, whatever stands in it";
}

TEST_F(SettingsTest, WorkWithoutAFile) {
  const Settings made = settings();
  EXPECT_EQ(made.backend, "toy");
  EXPECT_EQ(made.port, 3000);
  EXPECT_EQ(made.admin_address, "127.0.0.1") << "metrics are nobody else's business";
  EXPECT_EQ(made.admin_port, 3002);
  EXPECT_EQ(made.container_id, std::nullopt);
  ASSERT_EQ(made.report_addresses.size(), 1u);
  EXPECT_EQ(made.report_addresses[0].text(), "https://run.vast.ai:443");
  EXPECT_THAT(made.backend_dirs, ElementsAre(home / "launchers"));
}

TEST_F(SettingsTest, EnvironmentGoesBeforeTheFileAndFlagsBeforeBoth) {
  write(R"({"backend": "of_file", "port": 1000, "run_dir": "/of/file", "log_level": "debug",
            "report_addresses": ["http://of.file"]})");
  EXPECT_EQ(settings().backend, "of_file");
  EXPECT_EQ(settings().port, 1000);
  EXPECT_EQ(settings().run_dir, "/of/file");
  EXPECT_EQ(settings().report_addresses.at(0).host, "of.file");

  variables["BACKEND"] = "of_environment";
  variables["WORKER_PORT"] = "2000";
  variables["REPORT_ADDR"] = "http://one:81, https://two/api";
  EXPECT_EQ(settings().backend, "of_environment");
  EXPECT_EQ(settings().port, 2000);
  EXPECT_EQ(settings().log_level, "debug") << "what the environment doesn't say stays";
  ASSERT_EQ(settings().report_addresses.size(), 2u);
  EXPECT_EQ(settings().report_addresses[0].text(), "http://one:81");
  EXPECT_EQ(settings().report_addresses[1].text(), "https://two:443/api");

  flags.backend = "of_flag";
  flags.run_dir = "/of/flag";
  EXPECT_EQ(settings().backend, "of_flag");
  EXPECT_EQ(settings().run_dir, "/of/flag");
}

TEST_F(SettingsTest, FileHasAllOfItsMembers) {
  write(R"({
    // A comment is allowed.
    "$schema": "cppworker.schema.json", "backend_dirs": ["mine", "/opt/backends"], "listen_address": "127.0.0.1",
    "admin_address": "0.0.0.0", "admin_port": 9100, "public_key": "key.pem", "public_url": "http://198.51.100.1:80",
    "server_url": "http://127.0.0.1:8080", "benchmark": false, "drain_timeout_s": 5, "proxy_failures": 4,
    "proxy": {"threads": 8, "max_body_bytes": 2048, "max_header_bytes": 4096, "max_json_depth": 9,
              "max_connections": 10, "address_share_percent": 0, "max_queue": 0, "first_byte_timeout_s": 11, "between_bytes_timeout_s": 12}})");
  flags.backend_dirs = {"/of/flag"};
  const Settings made = settings();
  EXPECT_THAT(made.backend_dirs,
              ElementsAre("/of/flag", home / "etc/mine", "/opt/backends", home / "launchers"));
  EXPECT_EQ(made.listen_address, "127.0.0.1");
  EXPECT_EQ(made.admin_address, "0.0.0.0");
  EXPECT_EQ(made.admin_port, 9100);
  EXPECT_EQ(made.public_key, "key.pem");
  EXPECT_EQ(made.server_url, "http://127.0.0.1:8080");
  EXPECT_FALSE(made.benchmark);
  EXPECT_EQ(made.drain_timeout_s, 5);
  EXPECT_EQ(made.proxy_failures, 4);
  EXPECT_EQ(made.proxy.threads, 8);
  EXPECT_EQ(made.proxy.max_body_bytes, 2048);
  EXPECT_EQ(made.proxy.max_header_bytes, 4096);
  EXPECT_EQ(made.proxy.max_json_depth, 9);
  EXPECT_EQ(made.proxy.max_connections, 10);
  EXPECT_EQ(made.proxy.address_share_percent, 0);
  EXPECT_EQ(made.proxy.max_queue, 0);
  EXPECT_EQ(made.proxy.first_byte_timeout_s, 11);
  EXPECT_EQ(made.proxy.between_bytes_timeout_s, 12);
}

TEST_F(SettingsTest, ThePortOfTheSessionsIsTheNextOneUnlessItIsSet) {
  EXPECT_EQ(settings().session_port, 3001);
  variables["WORKER_PORT"] = "8000";
  EXPECT_EQ(settings().session_port, 8001);
  write(R"({"session_port": 9000})");
  EXPECT_EQ(settings().session_port, 9000);
  variables["WORKER_HTTP_PORT"] = "9001";
  EXPECT_EQ(settings().session_port, 9001);
  variables["WORKER_PORT"] = "0";
  variables.erase("WORKER_HTTP_PORT");
  write("{}");
  EXPECT_EQ(settings().session_port, 0);
}

TEST_F(SettingsTest, TheAdminServersPortIsNotThePublicOne) {
  variables["WORKER_PORT"] = "3002";
  EXPECT_THAT(refusal(), StartsWith("settings: /admin_port: must be another than port (WORKER_PORT)"));
  write("{}");
  EXPECT_THAT(refusal(), ContainsRegex("^settings with /.*json: /admin_port: must be another than port"));
}

TEST_F(SettingsTest, ThePortOfTheSessionsIsNoOthers) {
  variables["WORKER_PORT"] = "3001";
  EXPECT_THAT(refusal(), HasSubstr("/session_port: must be another than port and admin_port"));
  variables["WORKER_HTTP_PORT"] = "3001";
  EXPECT_THAT(refusal(), HasSubstr("/session_port: must be another"));
  variables["WORKER_HTTP_PORT"] = "3005";
  EXPECT_EQ(settings().session_port, 3005);
}

TEST_F(SettingsTest, CompleteThePartOfTheProxy) {
  write(R"({"log_level": "debug", "run_dir": "/run/worker", "public_url": "http://198.51.100.1:80"})");
  const ProxySettings proxy = settings().proxy;
  EXPECT_EQ(proxy.own_url, "http://198.51.100.1:80");
  EXPECT_EQ(proxy.log_level, "debug");
  EXPECT_EQ(proxy.ledger, "/run/worker/ledger");
  EXPECT_TRUE(proxy.unsecured);
}

TEST_F(SettingsTest, NameFileAndPointerOfWhatIsWrong) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {R"({"port": "x"})", R"(/port: must be an integer from 0 to 65535, is "x")"},
      {R"({"port": 65536})", "/port: must be an integer from 0 to 65535, is 65536"},
      {R"({"port": -1})", "/port: must be an integer from 0 to 65535, is -1"},
      {R"({"port": 80.5})", "/port: must be an integer from 0 to 65535, is 80.5"},
      {R"({"admin_port": null})", "/admin_port: must be an integer from 0 to 65535, is null"},
      {R"({"backend": ""})", R"(/backend: must be a string, not empty, is "")"},
      {R"({"backend_dirs": "x"})", R"(/backend_dirs: must be a list, is "x")"},
      {R"({"backend_dirs": ["a", 2]})", "/backend_dirs/1: must be a string, not empty, is 2"},
      {R"({"log_level": "loud"})", R"(/log_level: must be one of "trace", "debug", "info", "warning")"},
      {R"({"report_addresses": ["http://a", "ftp://b"]})",
       "/report_addresses/1: a URL must begin with http:// or https://"},
      {R"({"public_url": "203.0.113.9:80"})", "/public_url: a URL must begin with"},
      {R"({"server_url": "http://127.0.0.1:0"})",
       "/server_url: a URL's port must be a number from 1 to 65535"},
      {R"({"benchmark": "no"})", R"(/benchmark: must be true or false, is "no")"},
      {R"({"drain_timeout_s": -1})", "/drain_timeout_s: must be an integer from 0 to 86400, is -1"},
      {R"({"proxy_failures": 61})", "/proxy_failures: must be an integer from 1 to 60, is 61"},
      {R"({"proxy": []})", "/proxy: must be an object, is []"},
      {R"({"proxy": {"threads": 0}})", "/proxy/threads: must be an integer from 1 to 64, is 0"},
      {R"({"proxy": {"max_body_bytes": 1}})", "/proxy/max_body_bytes: must be an integer from 1024 to"},
      {R"([])", "/: must be an object, is []"},
      {"{\n  \"port\": 1,,\n}", "is not JSON at line 2, column 13"},
      {R"({"port": 1, "port": 2})", R"(the member "port" stands twice in one object)"},
  };
  for (const auto& [text, message] : cases) EXPECT_THAT(refusal_of(text), StartsWith(file + ": " + message));
}

TEST_F(SettingsTest, SuggestTheSettingThatWasMeant) {
  EXPECT_EQ(refusal_of(R"({"prot": 80})"), file + R"(: /prot: is not a known setting; did you mean "port"?)");
  EXPECT_EQ(refusal_of(R"({"proxy": {"max_body_byte": 2048}})"),
            file + R"(: /proxy/max_body_byte: is not a known setting; did you mean "max_body_bytes"?)");
  EXPECT_EQ(refusal_of(R"({"something/else": 1})"), file + ": /something~1else: is not a known setting");
}

TEST_F(SettingsTest, MissTheFileOnlyWhenItWasNamed) {
  flags.config = home / "other.json";
  EXPECT_EQ(refusal(), home / "other.json" + ": cannot be read: No such file or directory");
  std::ofstream(home / "other.json") << R"({"port": 81})";
  write(R"({"port": 82})");
  EXPECT_EQ(settings().port, 81) << "instead of the usual file, not over it";
}

TEST_F(SettingsTest, NameTheVariableThatIsWrongWithoutItsValue) {
  const std::vector<std::pair<std::string, std::string>> cases = {
      {"WORKER_PORT", "must be an integer from 0 to 65535"},
      {"AUTH_PORT", "must be an integer from 0 to 65535"},
      {"CONTAINER_ID", "must be an integer from 0 to"},
      {"REPORT_ADDR", "a URL must begin with http:// or https://"},
      {"USE_SSL", "must be true or false"},
      {"UNSECURED", "must be true or false"},
      {"MODEL_HEALTH_ENDPOINT", "must begin with '/'"},
      {"MODEL_LOG", "must be an absolute path"},
      {"VAST_TCP_PORT_3000", "must be an integer from 1 to 65535"},
  };
  for (const auto& [name, message] : cases) {
    variables = {{"UNSECURED", "true"}};
    variables[name] = "s3cret";
    EXPECT_THAT(refusal(),
                AllOf(StartsWith("environment: " + name + ": " + message), Not(HasSubstr("s3cret"))));
  }
  for (const char* port : {"-1", "65536", "80x", "8 0", "0x50", "99999999999999999999"}) {
    variables = {{"UNSECURED", "true"}, {"WORKER_PORT", port}};
    EXPECT_THAT(refusal(), HasSubstr("WORKER_PORT")) << port;
  }
  variables = {{"PUBLIC_IPADDR", "not an address"}, {"VAST_TCP_PORT_3000", "41234"}, {"UNSECURED", "1"}};
  EXPECT_EQ(refusal(), "environment: PUBLIC_IPADDR: must be an IP address or a host name");
}

TEST_F(SettingsTest, TakeAnEmptyVariableForAbsent) {
  for (const char* name : {"BACKEND", "WORKER_PORT", "AUTH_PORT", "CONTAINER_ID", "REPORT_ADDR", "USE_SSL",
                           "MODEL_HEALTH_ENDPOINT", "PUBLIC_IPADDR", "VAST_TCP_PORT_3000", "MASTER_TOKEN"})
    variables[name] = " ";
  EXPECT_EQ(settings().backend, "toy");
  EXPECT_EQ(settings().port, 3000);
  EXPECT_EQ(settings().container_id, std::nullopt);
  EXPECT_EQ(settings().health_path, std::nullopt);
}

TEST_F(SettingsTest, ReadWhatIsKeptOfTheLogAndWhereTheServerWritesOne) {
  write(R"({"model_log": "/var/log/a.log", "logs": {"max_file_bytes": 65536, "max_files": 9, "max_age_h": 24,
            "max_total_bytes": 1000000}})");
  variables["UNSECURED"] = "true";
  EXPECT_EQ(settings().model_log, "/var/log/a.log");
  EXPECT_FALSE(settings().log_json);
  EXPECT_FALSE(settings().log_child_lines);
  EXPECT_EQ(settings().logs.largest, 65536u);
  EXPECT_EQ(settings().logs.files, 9);
  EXPECT_EQ(settings().logs.oldest, std::chrono::hours(24));
  EXPECT_EQ(settings().logs.total, 1'000'000u);
  variables["MODEL_LOG"] = "/workspace/infer.log";
  EXPECT_EQ(settings().model_log, "/workspace/infer.log");
}

TEST_F(SettingsTest, ReadHowTheWorkersOwnLogLooks) {
  write(R"({"log_format": "json", "log_child_lines": true})");
  EXPECT_TRUE(settings().log_json);
  EXPECT_TRUE(settings().log_child_lines);
  EXPECT_THAT(refusal_of(R"({"log_format": "xml"})"), HasSubstr("/log_format: must be one of"));
}

TEST_F(SettingsTest, KnowTheOlderNames) {
  report();
  variables.erase("MASTER_TOKEN");
  variables["mtoken"] = "older";
  variables["AUTH_PORT"] = " 4000\n";
  variables["VAST_TCP_PORT_4000"] = "41235";
  EXPECT_EQ(settings().master_token, "older");
  EXPECT_EQ(settings().port, 4000);
  EXPECT_EQ(settings().public_url, "http://203.0.113.9:41235") << "the mapping of the port that it has";

  variables["MASTER_TOKEN"] = "newer";
  variables["WORKER_PORT"] = "3000";
  EXPECT_EQ(settings().master_token, "newer");
  EXPECT_EQ(settings().port, 3000);
}

TEST_F(SettingsTest, MakeTheUrlThatIsReported) {
  report();
  EXPECT_EQ(settings().public_url, "http://203.0.113.9:41234");
  EXPECT_EQ(settings().container_id, 7);
  EXPECT_EQ(settings().proxy.own_url, settings().public_url);
}

TEST_F(SettingsTest, ServeTlsWhenToldTo) {
  report();
  EXPECT_FALSE(settings().proxy.tls);
  variables["USE_SSL"] = "true";
  EXPECT_TRUE(settings().proxy.tls);
  EXPECT_EQ(settings().public_url, "https://203.0.113.9:41234");
  EXPECT_EQ(settings().proxy.own_url, settings().public_url);
  EXPECT_EQ(settings().tls.certificate, "/etc/instance.crt");
  EXPECT_EQ(settings().tls.key, "/etc/instance.key");
  EXPECT_EQ(settings().tls.sign_service.text(), "https://console.vast.ai:443/api/v0/sign_cert");

  write(
      R"({"tls": {"enabled": true, "certificate": "a.crt", "key": "/b.key", "sign_url": "http://127.0.0.1:1/s"}})");
  variables.erase("USE_SSL");
  EXPECT_TRUE(settings().proxy.tls);
  EXPECT_EQ(settings().tls.certificate, std::filesystem::path(file).parent_path() / "a.crt");
  EXPECT_EQ(settings().tls.key, "/b.key");
  EXPECT_EQ(settings().tls.sign_service.port, 1);
  variables["USE_SSL"] = "false";
  EXPECT_FALSE(settings().proxy.tls) << "the environment lies over the file";
}

TEST_F(SettingsTest, RefuseAPlainUrlWhereTlsIsServed) {
  variables["USE_SSL"] = "1";
  EXPECT_THAT(refusal_of(R"({"public_url": "http://203.0.113.9:1"})"),
              AllOf(HasSubstr("/public_url: must begin with https://"), HasSubstr("USE_SSL")));
}

TEST_F(SettingsTest, TakeTheHealthRouteAndTheSwitches) {
  variables["MODEL_HEALTH_ENDPOINT"] = "/ready";
  for (const char* word : {"1", "true", "True", " TRUE "}) {
    variables["UNSECURED"] = word;
    EXPECT_TRUE(settings().proxy.unsecured) << word;
  }
  EXPECT_EQ(settings().health_path, "/ready");
  write(R"({"public_key": "key.pem"})");
  for (const char* word : {"0", "false", ""}) {
    variables["UNSECURED"] = word;
    EXPECT_FALSE(settings().proxy.unsecured) << word;
  }
}

TEST_F(SettingsTest, NeedATokenAndAnAddressToReport) {
  report();
  variables.erase("MASTER_TOKEN");
  EXPECT_EQ(refusal(),
            "environment: MASTER_TOKEN: is needed to report as CONTAINER_ID; unset both to run stand-alone");
  for (const char* name : {"PUBLIC_IPADDR", "VAST_TCP_PORT_3000"}) {
    report();
    variables.erase(name);
    EXPECT_THAT(refusal(), AllOf(StartsWith("environment: PUBLIC_IPADDR: is needed to report"),
                                 HasSubstr("VAST_TCP_PORT_3000")))
        << name;
  }
}

TEST_F(SettingsTest, NeedAKeyToRunStandAlone) {
  variables.clear();
  EXPECT_THAT(refusal(), AllOf(HasSubstr("/public_key: is needed"), HasSubstr("UNSECURED=true")));
  write(R"({"public_key": "https://example.org/key.pem"})");
  EXPECT_EQ(settings().public_key, "https://example.org/key.pem");
}

// Logs and terminals outlive the account's token.
TEST_F(SettingsTest, NeverShowTheToken) {
  report();
  for (const auto& [name, value] : std::vector<std::pair<std::string, std::string>>{
           {"WORKER_PORT", "x"}, {"REPORT_ADDR", "x"}, {"PUBLIC_IPADDR", ""}, {"USE_SSL", "yes"}}) {
    report();
    variables[name] = value;
    EXPECT_THAT(refusal(), AllOf(StartsWith("environment: "), Not(HasSubstr("token-of-the-account"))))
        << name;
    variables.erase(name);
  }
  report();
  EXPECT_THAT(refusal_of(R"({"prot": 1})"),
              AllOf(HasSubstr("/prot"), Not(HasSubstr("token-of-the-account"))));
}

TEST_F(SettingsTest, KeepTheWorkersFilesWhereItsUserMayWrite) {
  variables["HOME"] = "/home/worker";
  EXPECT_EQ(settings().run_dir,
            ::geteuid() == 0 ? "/var/lib/cppworker" : "/home/worker/.local/state/cppworker");
  flags.run_dir = "relative";
  EXPECT_EQ(settings().run_dir, std::filesystem::current_path() / "relative")
      << "it is handed to programs that may run elsewhere";
}

TEST(FindHome, WalksUpToTheSourceTreeOrTheInstallation) {
  const TemporaryFolder root;
  std::filesystem::create_directories(root / "source/launchers/toy");
  std::ofstream(root / "source/launchers/toy/backend.json") << "{}";
  EXPECT_EQ(find_home(root / "source/build/release/bin/cppworker"), root / "source");

  std::filesystem::create_directories(root / "usr/share/cppworker/launchers");
  EXPECT_EQ(find_home(root / "usr/bin/cppworker"), root / "usr/share/cppworker");
  EXPECT_EQ(find_home(root / "elsewhere/cppworker"), "");
  EXPECT_EQ(find_home(""), "");
}

// Else the proxy, or the socket, would refuse them, again and again.
TEST_F(SettingsTest, RefusesAddressesAndUsersThatAreNone) {
  EXPECT_THAT(refusal_of(R"({"listen_address": "localhost"})"),
              HasSubstr("/listen_address: must be an IP address"));
  EXPECT_THAT(refusal_of(R"({"admin_address": "0.0.0"})"),
              HasSubstr("/admin_address: must be an IP address"));
  EXPECT_THAT(refusal_of(R"({"server_url": "http://127.example:80"})"), HasSubstr("/server_url: must be"));
  if (::geteuid() != 0) return;  // only root becomes somebody
  EXPECT_THAT(refusal_of(R"({"proxy": {"user": "no such user"}})"), HasSubstr("/proxy/user: must be a user"));
}

}  // namespace
}  // namespace cppworker
