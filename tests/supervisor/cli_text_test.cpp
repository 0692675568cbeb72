#include "supervisor/cli_text.hpp"

#include <gmock/gmock.h>

namespace cppworker {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::Not;

TEST(CliText, NamesEachDurationInTwoUnits) {
  EXPECT_EQ(duration_text(-1), "0 s");
  EXPECT_EQ(duration_text(59.9), "59 s");
  EXPECT_EQ(duration_text(60), "1 min");
  EXPECT_EQ(duration_text(185), "3 min 5 s");
  EXPECT_EQ(duration_text(2 * 3600 + 240), "2 h 4 min");
  EXPECT_EQ(duration_text(3 * 86400 + 3700), "3 d 1 h");
}

TEST(CliText, SaysInTheFirstLineWhetherRequestsAreServed) {
  json status = {{"version", "1.2.3"}, {"pid", 7}, {"backend", "tgi"}, {"ready", true}};
  EXPECT_THAT(status_text(status),
              testing::StartsWith("cppworker 1.2.3 (process 7), backend tgi: ready, up"));
  status["ready"] = false;
  status["waiting_for"] = {"model: loading", "proxy: down"};
  EXPECT_THAT(status_text(status), HasSubstr(": not ready, up"));
  EXPECT_THAT(status_text(status), HasSubstr("waiting for     model: loading; proxy: down\n"));
}

TEST(CliText, SaysWhenReportsDoNotGetThrough) {
  EXPECT_THAT(status_text({{"reports", nullptr}}), HasSubstr("stand-alone"));
  EXPECT_THAT(status_text({{"reports", {{"acknowledged", 12}, {"last_error", ""}}}}),
              HasSubstr("12 reports got through\n"));
  EXPECT_THAT(status_text({{"reports", {{"acknowledged", 12}, {"last_error", "no answer"}}}}),
              HasSubstr("12 reports got through, and now they don't: no answer\n"));
}

TEST(CliText, SaysWhyAndWhatComesNext) {
  const json why = {{"ready", false},
                    {"waiting_for", {"model: unhealthy"}},
                    {"model",
                     {{"state", "backoff"},
                      {"seconds_in_state", 2},
                      {"next", "launch 2, in 1 s"},
                      {"last_failure",
                       {{"summary", "the model failed: the process ended"},
                        {"exit", "exit code 3"},
                        {"launch", 1},
                        {"seconds_ago", 65}}}}},
                    {"proxy", {{"state", "ready"}, {"last_failure", nullptr}, {"next", "nothing"}}}};
  const std::string text = why_text(why);
  EXPECT_THAT(text, testing::StartsWith("not ready\n"));
  EXPECT_THAT(text, HasSubstr("  last failure  the model failed: the process ended\n"));
  EXPECT_THAT(text, HasSubstr("1 min 5 s ago, launch 1, exit code 3\n"));
  EXPECT_THAT(text, HasSubstr("  next          launch 2, in 1 s\n"));
}

// The worker may be of another version, and its texts are others'.
TEST(CliText, SurvivesWhateverItIsGiven) {
  for (const json& odd : {json::object(), json{{"model", 3}, {"waiting_for", "x"}},
                          json{{"model", {{"failures", {{"a", {1}}}}, {"loading", json::object()}}}}}) {
    EXPECT_NO_THROW(status_text(odd)) << odd;
    EXPECT_NO_THROW(why_text(odd)) << odd;
    std::uint64_t next = 0;
    EXPECT_NO_THROW(log_text(odd, next, 10)) << odd;
  }
  EXPECT_THAT(status_text({{"error", "a\x1b[2Jb"}}), Not(HasSubstr("\x1b")));
  std::uint64_t next = 0;
  EXPECT_EQ(log_text({{"before", 0}, {"lines", {"a\x1b]0;title\x07", "b\tc", 7}}}, next, 10),
            "a?]0;title?\nb c\n?\n");
}

TEST(CliText, GoesOnWithTheLinesThatAreNew) {
  std::uint64_t next = 0;
  EXPECT_EQ(log_text({{"before", 10}, {"lines", {"a", "b", "c"}}}, next, 2), "b\nc\n");
  EXPECT_EQ(next, 13u);
  EXPECT_EQ(log_text({{"before", 10}, {"lines", {"a", "b", "c"}}}, next, 200), "");
  EXPECT_EQ(log_text({{"before", 11}, {"lines", {"b", "c", "d"}}}, next, 200), "d\n");
  EXPECT_EQ(log_text({{"before", 16}, {"lines", {"g"}}}, next, 200),
            "... 2 lines left out; logs/model.log has them\ng\n");
  EXPECT_EQ(log_text({{"before", 0}, {"lines", {"new"}}}, next, 200), "new\n") << "of a worker started since";
}

}  // namespace
}  // namespace cppworker
