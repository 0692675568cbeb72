#include "supervisor/cli_pages.hpp"

#include <gmock/gmock.h>

#include "tests/supervisor/worker_view_fixture.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::MatchesRegex;

class CliPagesTest : public WorkerViewFixture {
 protected:
  CliPagesTest() { pages = cli_pages(*view); }
  std::string next() { return body_of("/why")["model"]["next"]; }
};

TEST_F(CliPagesTest, SayWhatIsMissingAndWhatComesNext) {
  const json why = body_of("/why");
  EXPECT_EQ(why["ready"], false);
  EXPECT_EQ(why["waiting_for"], json({"model: loading", "proxy: down", "public key: not here yet"}));
  EXPECT_EQ(why["model"]["state"], "starting");
  EXPECT_EQ(why["model"]["last_failure"], nullptr);
  EXPECT_EQ(next(), "ready, or stopped as failed in 3600 s at the latest");
  EXPECT_EQ(why["proxy"]["next"], "nothing: it isn't wanted now");
}

TEST_F(CliPagesTest, SayWhenAFailedProcessIsLaunchedAgain) {
  processes.exit_by_signal(SIGSEGV);
  ASSERT_TRUE(reaches(ServicePhase::kBackoff));
  EXPECT_THAT(next(), MatchesRegex("launch 2, in [12] s"));
  skip(2s);
  ASSERT_EQ(phase(), ServicePhase::kStarting);
  EXPECT_THAT(next(), HasSubstr("ready, or stopped as failed in 3600 s"));
}

// When all is well again the status has forgotten; whoever looks in the morning wants to know all the same.
TEST_F(CliPagesTest, RememberTheLastFailureAfterTheNextRunIsReady) {
  processes.exit_by_signal(SIGSEGV);
  ASSERT_TRUE(reaches(ServicePhase::kBackoff));
  skip(2s);
  bring_model();
  skip(60s);
  EXPECT_EQ(body_of("/status")["model"]["last_error"], "");
  const json failure = body_of("/why")["model"]["last_failure"];
  EXPECT_EQ(failure["summary"], "the model failed: the process ended: signal 11 (SIGSEGV)");
  EXPECT_EQ(failure["exit"], "signal 11 (SIGSEGV)");
  EXPECT_EQ(failure["launch"], 1);
  EXPECT_GE(failure["seconds_ago"], 60);
  EXPECT_EQ(next(), "nothing: it runs until something happens");
}

TEST_F(CliPagesTest, SayHowFarAStopHasCome) {
  bring_model();
  model->service().post(ServiceEventKind::kWantDown);
  settle();
  EXPECT_EQ(next(), "its end, or SIGKILL in 90 s");
  skip(91s);
  EXPECT_EQ(next(), "its end; SIGKILL once more in 10 s");
}

TEST_F(CliPagesTest, ShowTheServersLinesAndHowManyCameBefore) {
  print("first");
  print("second");
  EXPECT_EQ(body_of("/logs"), json({{"before", 0}, {"lines", {"first", "second"}}}));
  for (std::size_t i = 0; i < LogRing::kLines; ++i) print("later");
  const json logs = body_of("/logs");
  EXPECT_EQ(logs["before"], 2);
  EXPECT_EQ(logs["lines"].size(), LogRing::kLines);
}

// The admin port may be open to others; what a server prints has prompts in it.
TEST_F(CliPagesTest, AreAllThatShowsTheServersLines) {
  print("prompt: the secret of the client");
  EXPECT_THAT(pages.at("/logs")().body, HasSubstr("secret of the client"));
  for (const auto& [target, page] : admin_pages(*view))
    EXPECT_THAT(page().body, testing::Not(HasSubstr("secret of the client"))) << target;
}

}  // namespace
}  // namespace cppworker
