#include "common/logging.hpp"

#include <gmock/gmock.h>
#include <stdlib.h>

#include <regex>

namespace cppworker {
namespace {

using testing::HasSubstr;
using testing::Not;

class LoggingTest : public testing::Test {
 protected:
  ~LoggingTest() override {
    spdlog::drop("the_test");
    spdlog::set_default_logger(before_);
  }

  // What a program with that level writes on stderr.
  std::string log_at(const std::string& level) {
    testing::internal::CaptureStderr();
    start_logging("the_test", level);
    spdlog::debug("a detail");
    spdlog::info("news");
    spdlog::warn("a warning");
    spdlog::critical("the end");
    spdlog::default_logger()->flush();
    std::string written = testing::internal::GetCapturedStderr();
    spdlog::drop("the_test");
    return written;
  }

 private:
  std::shared_ptr<spdlog::logger> before_ = spdlog::default_logger();
};

TEST_F(LoggingTest, WritesALineWithTimeLevelAndProgram) {
  const std::string line = log_at("critical");
  EXPECT_TRUE(std::regex_match(
      line, std::regex(R"(\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z critical the_test: the end\n)")))
      << line;
}

TEST_F(LoggingTest, WritesTimesInUtc) {
  ::setenv("TZ", "Pacific/Kiritimati", 1);  // 14 hours ahead: another day, most of the time
  ::tzset();
  const std::string line = log_at("critical");
  ::unsetenv("TZ");
  ::tzset();
  std::tm read{};
  ASSERT_NE(::strptime(line.c_str(), "%Y-%m-%dT%H:%M:%S", &read), nullptr) << line;
  EXPECT_LE(std::abs(std::difftime(::timegm(&read), std::time(nullptr))), 3600) << line;
}

TEST_F(LoggingTest, LeavesOutWhatIsBelowTheLevel) {
  EXPECT_THAT(log_at("debug"), HasSubstr("a detail"));
  EXPECT_THAT(log_at("info"), testing::AllOf(HasSubstr("news"), Not(HasSubstr("a detail"))));
  EXPECT_THAT(log_at("warning"), testing::AllOf(HasSubstr("a warning"), Not(HasSubstr("news"))));
  EXPECT_THAT(log_at("error"), testing::AllOf(HasSubstr("the end"), Not(HasSubstr("a warning"))));
}

// A line of a model's log, a path, a header: whoever wrote it can't write a line of ours with it.
TEST(Printable, KeepsForeignTextOnOneLineAndOffTheTerminal) {
  EXPECT_EQ(printable("a\n2024-01-01T00:00:00.000Z info cppworker: Stopped"),
            "a?2024-01-01T00:00:00.000Z info cppworker: Stopped");
  EXPECT_EQ(printable(std::string_view("\0\r\t\x1b[2J\x7f", 8)), "????[2J?");
}

TEST(Printable, LeavesOrdinaryTextAlone) {
  EXPECT_EQ(printable(""), "");
  EXPECT_EQ(printable(" A line, \"quoted\" \\ ~ "), " A line, \"quoted\" \\ ~ ");
  EXPECT_EQ(printable("größer, 模型, 🚀"), "größer, 模型, 🚀");
}

TEST(Printable, CutsWhatIsTooLong) {
  EXPECT_EQ(printable("abcdef", 6), "abcdef");
  EXPECT_EQ(printable("abcdefg", 6), "abcdef…");
  EXPECT_EQ(printable(std::string(1000, 'x')), std::string(300, 'x') + "…");
}

}  // namespace
}  // namespace cppworker
