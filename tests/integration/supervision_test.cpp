// What becomes of a worker whose model or supervisor fails for good.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

using nlohmann::json;
using ::testing::HasSubstr;

const json kTwoFailuresAreEnough = {{"restart", {{"give_up", {{{"failures", 2}, {"window_s", 60}}}}}}};

// Else an instance is billed for days, and the autoscaler hears nothing of it.
TEST(Supervision, GivesUpOnAModelThatNeverRunsAndSaysWhy) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/bin/sh\necho CUDA error: no device\nexit 3\n", kTwoFailuresAreEnough);
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  EXPECT_EQ(worker.process().wait_for_exit(), 70) << worker.process().output();
  const json reports = autoscaler.reports();
  ASSERT_FALSE(reports.empty());
  EXPECT_THAT(
      reports.back()["error_msg"].get<std::string>(),
      HasSubstr("the model failed: the process ended: exit code 3; given up after 2 failures within 1 min"));
  EXPECT_THAT(worker.tree(), ::testing::IsEmpty());
}

TEST(Supervision, GivesUpAlsoOnAModelThatCannotBeStarted) {
  Autoscaler autoscaler;
  BackendFolder backend("#!/nowhere/sh\n", kTwoFailuresAreEnough);
  Worker worker(autoscaler, backend.name(), {}, backend.settings());
  EXPECT_EQ(worker.process().wait_for_exit(), 70) << worker.process().output();
  EXPECT_THAT(autoscaler.reports().back()["error_msg"].get<std::string>(),
              HasSubstr("it could not be started"));
}

}  // namespace
}  // namespace cppworker::testing
