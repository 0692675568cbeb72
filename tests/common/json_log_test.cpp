#include "common/json_log.hpp"

#include <gtest/gtest.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>
#include <nlohmann/json.hpp>

namespace cppworker {
namespace {

// What a logger of that name writes, as JSON.
nlohmann::json logged(const std::string& program, const std::string& message) {
  std::ostringstream out;
  spdlog::logger logger(program, std::make_shared<spdlog::sinks::ostream_sink_mt>(out));
  logger.set_formatter(make_json_formatter());
  logger.warn("{}", message);
  const std::string written = out.str();
  EXPECT_EQ(written.find('\n'), written.size() - 1) << "one line";
  return nlohmann::json::parse(written, nullptr, false);
}

TEST(JsonLog, HasTimeLevelProgramAndMessage) {
  const nlohmann::json line = logged("model", "a \"quoted\" word");
  ASSERT_TRUE(line.is_object());
  EXPECT_EQ(line["level"], "warning");
  EXPECT_EQ(line["program"], "model");
  EXPECT_EQ(line["message"], "a \"quoted\" word");
  EXPECT_EQ(line["time"].get<std::string>().size(), std::string("2026-01-02T03:04:05.678Z").size());
}

TEST(JsonLog, SurvivesLineEndsAndBytesThatAreNoText) {
  EXPECT_EQ(logged("model", "one\ntwo\x1b[0m")["message"], "one\ntwo\x1b[0m");
  EXPECT_TRUE(logged("model", "\xff\xfe broken").is_object());
}

}  // namespace
}  // namespace cppworker
