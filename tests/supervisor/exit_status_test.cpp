#include "supervisor/exit_status.hpp"

#include <gtest/gtest.h>
#include <signal.h>

namespace cppworker {
namespace {

TEST(ExitStatus, TellsCodesFromSignals) {
  // Raw values as waitpid stores them on Linux: the code in the second byte, the signal in the first.
  EXPECT_EQ(ExitStatus::from_wait_status(0).text(), "exit code 0");
  EXPECT_EQ(ExitStatus::from_wait_status(1 << 8).text(), "exit code 1");
  EXPECT_EQ(ExitStatus::from_wait_status(255 << 8).text(), "exit code 255");
  EXPECT_EQ(ExitStatus::from_wait_status(SIGKILL).text(), "signal 9 (SIGKILL)");
  EXPECT_EQ(ExitStatus::from_wait_status(SIGSEGV | 0x80).text(), "signal 11 (SIGSEGV), core dumped");
  EXPECT_EQ(ExitStatus::from_wait_status(40).text(), "signal 40");
}

TEST(ExitStatus, OnlyCodeZeroIsClean) {
  EXPECT_TRUE(ExitStatus::from_wait_status(0).clean());
  EXPECT_FALSE(ExitStatus::from_wait_status(2 << 8).clean());
  EXPECT_FALSE(ExitStatus::from_wait_status(SIGINT).clean());
  EXPECT_FALSE(ExitStatus{}.clean()) << "a status that was lost is no success";
  EXPECT_EQ(ExitStatus{}.text(), "unknown exit status");
}

TEST(ExitStatus, HasAShortTextForPrograms) {
  EXPECT_EQ((ExitStatus{.kind = ExitStatus::Kind::kCode, .code = 3}).short_text(), "3");
  EXPECT_EQ((ExitStatus{.kind = ExitStatus::Kind::kSignal, .signal = SIGKILL}).short_text(), "SIGKILL");
  EXPECT_EQ(ExitStatus{}.short_text(), "unknown");
}

}  // namespace
}  // namespace cppworker
