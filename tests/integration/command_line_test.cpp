// What an operator gets who asks for the impossible: one clear line, exit 64, and nothing started.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using ::testing::HasSubstr;

struct Outcome {
  int code;
  std::string output;
  bool made_run_dir;
};

Outcome run(const std::string& config, std::map<std::string, std::string> environment,
            std::vector<std::string> flags = {}) {
  TemporaryFolder folder;
  std::string file = folder.path() + "/cppworker.json";
  std::ofstream(file) << config;
  const std::string bin = CPPWORKER_BIN_DIR;
  std::vector<std::string> argv = {bin + "/cppworker",    "run", "--config", file, "--run-dir",
                                   folder.path() + "/run"};
  argv.insert(argv.end(), flags.begin(), flags.end());
  environment["PATH"] = "/usr/bin:/bin";
  TestProcess process(argv, environment);
  int code = process.wait_for_exit().value_or(-1);
  return {code, process.output(), std::filesystem::exists(folder.path() + "/run")};
}

TEST(CommandLineTest, NamesFileAndPointerOfABadSetting) {
  Outcome outcome = run(R"({"proxy": {"threds": 2}})", {{"UNSECURED", "true"}});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_THAT(outcome.output, HasSubstr("cppworker.json: /proxy/threds"));
  EXPECT_THAT(outcome.output, HasSubstr("did you mean \"threads\"?"));
  EXPECT_FALSE(outcome.made_run_dir);
}

TEST(CommandLineTest, NamesTheBadVariableAndNotItsValue) {
  Outcome outcome = run("{}", {{"WORKER_PORT", "hunter2"}});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_THAT(outcome.output, HasSubstr("WORKER_PORT"));
  EXPECT_EQ(outcome.output.find("hunter2"), std::string::npos);
}

TEST(CommandLineTest, SuggestsTheNearestBackend) {
  Outcome outcome = run("{}", {{"UNSECURED", "true"}}, {"--backend", "tgo"});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_THAT(outcome.output, HasSubstr("tgi"));
}

TEST(CommandLineTest, SaysWhichCertificateIsMissingWhereNobodyCanMakeOne) {
  Outcome outcome = run(R"({"port": 0, "admin_port": 0, "tls": {"certificate": "c.pem", "key": "k.pem"}})",
                        {{"UNSECURED", "true"}, {"USE_SSL", "true"}});
  EXPECT_EQ(outcome.code, 69);
  EXPECT_THAT(outcome.output, HasSubstr("cannot serve TLS: there is no "));
  EXPECT_THAT(outcome.output, HasSubstr("k.pem; put a certificate and its key there, or set CONTAINER_ID"));
}

TEST(CommandLineTest, RefusesAServerOnItsOwnPublicPort) {
  Outcome outcome = run(R"({"port": 5001, "admin_port": 0})", {{"UNSECURED", "true"}}, {"--backend", "tgi"});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_THAT(outcome.output,
              HasSubstr("tgi/backend.json: /server/url: puts the inference server on port 5001"));
  EXPECT_FALSE(outcome.made_run_dir);
}

TEST(CommandLineTest, RefusesAKeyFileThatIsNotThere) {
  Outcome outcome = run(R"({"port": 0, "admin_port": 0, "public_key": "/nowhere/key.pem"})", {});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_THAT(outcome.output, HasSubstr("/public_key: cannot read /nowhere/key.pem: No such file"));
  EXPECT_FALSE(outcome.made_run_dir);
}

TEST(CommandLineTest, RefusesToRunOpenByAccident) {
  Outcome outcome = run("{}", {});
  EXPECT_EQ(outcome.code, 64);
  EXPECT_THAT(outcome.output, HasSubstr("public_key"));
}

}  // namespace
}  // namespace cppworker::testing
