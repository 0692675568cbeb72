#include "supervisor/benchmark_key.hpp"

#include <gmock/gmock.h>

#include <fstream>

#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;
using testing::Not;

class BenchmarkKeyTest : public testing::Test {
 protected:
  BenchmarkKeyTest() {
    backend.name = "tgi";
    backend.launch_script = folder / "launch.sh";
    write("launch.sh", "exec server $MODEL_ARGS");
    EndpointDefinition endpoint;
    endpoint.method = "POST";
    endpoint.path = "/generate";
    endpoint.workload = Workload::compile("payload.tokens").value();
    backend.endpoints.push_back(endpoint);
    backend.benchmark.emplace();
    backend.benchmark->endpoint = "/generate";
    backend.benchmark->payload = {{"tokens", 32}};
    std::filesystem::create_directories(folder / "gpus/0000:01:00.0");
    write("version", "NVRM version: 550.54.15");
    write("gpus/0000:01:00.0/information", "Model: \t\t NVIDIA L4\nIRQ:   \t\t 16\nGPU UUID: \t GPU-aa\n");
  }

  void write(const std::string& name, const std::string& text) { std::ofstream(folder / name) << text; }
  std::string key() { return benchmark_key(backend, environment, folder.path()); }

  TemporaryFolder folder;
  BackendDefinition backend;
  Environment environment = {"MODEL_ID=a/b", "PATH=/usr/bin"};
};

TEST_F(BenchmarkKeyTest, IsTheSameForTheSame) {
  const std::string before = key();
  std::reverse(environment.begin(), environment.end());
  EXPECT_EQ(key(), before) << "the order of variables says nothing";
}

TEST_F(BenchmarkKeyTest, IsAnotherWithAnyVariableThatTheServerMayRead) {
  for (const char* variable :
       {"MODEL_ID=a/c", "MAX_BATCH_TOTAL_TOKENS=1", "QUANTIZE=gptq", "VLLM_ARGS=", "CUDA_VISIBLE_DEVICES=0",
        "LD_PRELOAD=libtcmalloc.so", "MADE_UP_BY_SOMEBODY=1"}) {
    const std::string before = key();
    environment.push_back(variable);
    EXPECT_NE(key(), before) << variable;
  }
}

// An instance that is stopped and started again isn't measured again.
TEST_F(BenchmarkKeyTest, StaysTheSameWhenOnlyTheInstanceOrACredentialChanges) {
  const std::string before = key();
  for (const char* variable :
       {"CONTAINER_ID=1", "HOSTNAME=x", "PUBLIC_IPADDR=203.0.113.1", "VAST_TCP_PORT_3000=41234", "SHLVL=2",
        "SSH_CONNECTION=1.2.3.4 5", "HF_TOKEN=hf_x", "MASTER_TOKEN=m", "AWS_SECRET_ACCESS_KEY=k",
        "REPORT_ADDR=https://run.vast.ai", "INVOCATION_ID=7", "CPPWORKER_TREE=1234", "LC_ALL=C"}) {
    environment.push_back(variable);
    EXPECT_EQ(key(), before) << variable;
  }
}

TEST_F(BenchmarkKeyTest, KeepsToTheVariablesThatTheDefinitionNames) {
  backend.launch_variables = {"MODEL_ID", "TOY_*"};
  const std::string before = key();
  environment.push_back("RANDOM_NUMBER_OF_THE_PLATFORM=7");
  environment.push_back("TO=y");
  EXPECT_EQ(key(), before);
  environment.push_back("TOY_LOAD_MS=5");
  const std::string with_load = key();
  EXPECT_NE(with_load, before);
  environment[0] = "MODEL_ID=another/model";
  EXPECT_NE(key(), with_load);
}

TEST_F(BenchmarkKeyTest, IsAnotherWithAnotherScript) {
  const std::string before = key();
  write("launch.sh", "exec server --fast $MODEL_ARGS");
  EXPECT_NE(key(), before);
}

TEST_F(BenchmarkKeyTest, IsAnotherWithAnotherMeasurement) {
  std::string before = key();
  const auto changed = [&] { return std::exchange(before, key()) != before; };
  backend.benchmark->payload["tokens"] = 64;
  EXPECT_TRUE(changed());
  backend.benchmark->runs = 7;
  EXPECT_TRUE(changed());
  backend.endpoints[0].workload = Workload::compile("payload.tokens * 2").value();
  EXPECT_TRUE(changed()) << "the figure is in other units";
  backend.endpoints[0].workload = Workload::constant(5);
  EXPECT_TRUE(changed());
}

TEST_F(BenchmarkKeyTest, IsAnotherOnAnotherGpuOrDriver) {
  const std::string first = key();
  write("gpus/0000:01:00.0/information", "Model: \t\t NVIDIA L4\nIRQ:   \t\t 99\nGPU UUID: \t GPU-aa\n");
  EXPECT_EQ(key(), first) << "an interrupt's number";
  write("gpus/0000:01:00.0/information", "Model: \t\t NVIDIA L4\nIRQ:   \t\t 99\nGPU UUID: \t GPU-bb\n");
  const std::string other_card = key();
  EXPECT_NE(other_card, first);
  std::filesystem::create_directories(folder / "gpus/0000:02:00.0");
  write("gpus/0000:02:00.0/information", "Model: NVIDIA L4\nGPU UUID: GPU-cc\n");
  const std::string two_cards = key();
  EXPECT_NE(two_cards, other_card);
  write("version", "NVRM version: 560.00");
  EXPECT_NE(key(), two_cards);
}

TEST_F(BenchmarkKeyTest, HoldsNoValueOfAVariable) {
  environment.push_back("MODEL_ARGS=--api-key hunter2");
  EXPECT_THAT(key(), Not(HasSubstr("hunter2")));
}

TEST_F(BenchmarkKeyTest, WorksWithoutAGpu) {
  EXPECT_EQ(benchmark_key(backend, environment, folder / "none"),
            benchmark_key(backend, environment, folder / "none"));
}

}  // namespace
}  // namespace cppworker
