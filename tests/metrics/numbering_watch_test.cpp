#include "metrics/numbering_watch.hpp"

#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>
#include <spdlog/spdlog.h>

#include <sstream>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;

class NumberingWatchTest : public testing::Test {
 protected:
  // What the last of so many in a row has to say.
  std::string told(int requests) {
    std::optional<std::string> said;
    for (int i = 0; i < requests; ++i) said = watch.too_old(12, 40'017, now);
    return said.value_or("");
  }

  NumberingWatch watch;
  NumberingWatch::Time now{};
};

TEST_F(NumberingWatchTest, SaysWhatMayHaveHappenedAndWhatHelps) {
  EXPECT_EQ(told(NumberingWatch::kSuspicious - 1), "");
  const std::string said = told(1);
  EXPECT_THAT(said, HasSubstr("reqnum 12 is far below the window's 40017"));
  EXPECT_THAT(said, HasSubstr("has the autoscaler's numbering restarted?"));
  EXPECT_THAT(said, HasSubstr("remove the file ledger"));
}

TEST_F(NumberingWatchTest, SuspectsNothingWhileOthersAreAccepted) {
  for (int i = 0; i < 3; ++i) {
    EXPECT_EQ(told(NumberingWatch::kSuspicious - 1), "");
    watch.accepted();
  }
}

TEST_F(NumberingWatchTest, RepeatsItselfAfterAWhile) {
  EXPECT_NE(told(NumberingWatch::kSuspicious), "");
  now += NumberingWatch::kPause - std::chrono::seconds(1);
  EXPECT_EQ(told(100), "");
  now += std::chrono::seconds(1);
  EXPECT_NE(told(1), "") << "it never ceased meanwhile";
}

// The ledger's own, which sees every signed number.
class LedgerNumberingTest : public LedgerTest {
 protected:
  LedgerNumberingTest() {
    spdlog::set_default_logger(
        std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(log)));
    accept(signed_request(40'000));
  }
  ~LedgerNumberingTest() override { spdlog::set_default_logger(before); }

  void refuse_as_too_old(int requests) {
    for (int i = 0; i < requests; ++i)
      ASSERT_EQ(ledger_->accept(kOwner, signed_request(12)).first, Verdict::kStale);
  }
  SessionCreation create_session(std::uint64_t reqnum) {
    NewSession session;
    session.id = "abcdefghijklm";
    session.lifetime_ms = 1000;
    session.reqnum_once = reqnum;
    return ledger_->create_session(session, 10, 1000);
  }

  std::ostringstream log;
  std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
};

TEST_F(LedgerNumberingTest, RequestsThatAreTooOldAreNoticed) {
  refuse_as_too_old(NumberingWatch::kSuspicious - 1);
  EXPECT_EQ(log.str(), "");
  refuse_as_too_old(1);
  EXPECT_THAT(log.str(), HasSubstr("reqnum 12 is far below the window's 40000"));
}

// A worker that serves nothing but sessions hears of it by these alone.
TEST_F(LedgerNumberingTest, SoAreSessionsThatAreTooOld) {
  for (int i = 0; i < NumberingWatch::kSuspicious; ++i)
    ASSERT_EQ(create_session(12), SessionCreation::kStale);
  EXPECT_THAT(log.str(), HasSubstr("reqnum 12 is far below the window's 40000"));
}

TEST_F(LedgerNumberingTest, ASessionThatIsCreatedShowsThatTheNumbersGoOn) {
  refuse_as_too_old(NumberingWatch::kSuspicious - 1);
  ASSERT_EQ(create_session(40'001), SessionCreation::kCreated);
  refuse_as_too_old(NumberingWatch::kSuspicious - 1);
  EXPECT_EQ(log.str(), "");
}

TEST_F(LedgerNumberingTest, EachLedgerHasItsOwn) {
  refuse_as_too_old(NumberingWatch::kSuspicious - 1);
  auto other = Ledger::create(folder_ / "other", "container 1").value();
  ASSERT_EQ(other->accept(kOwner, signed_request(40'000)).first, Verdict::kAccepted);
  ASSERT_EQ(other->accept(kOwner, signed_request(12)).first, Verdict::kStale);
  EXPECT_EQ(log.str(), "");
}

}  // namespace
}  // namespace cppworker
