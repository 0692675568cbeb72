// How a ledger's file is begun, continued, and moved aside.
#include <fcntl.h>

#include <cstdio>
#include <fstream>

#include "tests/metrics/ledger_fixture.hpp"

namespace cppworker {
namespace {

namespace layout = ledger_layout;

void overwrite_word(const std::string& path, std::size_t word, std::uint64_t value) {
  std::fstream file(path, std::ios::in | std::ios::out | std::ios::binary);
  file.seekp(static_cast<std::streamoff>(word * sizeof(value)));
  file.write(reinterpret_cast<const char*>(&value), sizeof(value));
  ASSERT_TRUE(file.good());
}

class LedgerFileTest : public LedgerTest {
 protected:
  LedgerFileTest() { ledger_->finish(accept(signed_request(5)), {}); }

  void reopen(std::string_view identity = "container 1") {
    ledger_.reset();
    auto again = Ledger::create(path_, identity);
    ASSERT_TRUE(again) << again.error().message;
    ledger_ = std::move(*again);
  }
  bool continued() { return ledger_->snapshot().totals.received.requests == 1; }
  bool moved_aside() { return std::filesystem::exists(path_ + ".old"); }
};

TEST_F(LedgerFileTest, NextSupervisorTakesTheBooksUpWhereTheyWereLeft) {
  Ticket left = accept(request(3000, 9));
  (void)left;
  reopen();
  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals.received, (Amount{4000, 2}));
  EXPECT_EQ(books.in_flight_amount, (Amount{3000, 1}));
  EXPECT_EQ(ledger_->accept(kOwner, signed_request(5)).first, Verdict::kReplayed);
  EXPECT_EQ(ledger_->settle_all_except(0), 1u);
  EXPECT_FALSE(moved_aside());
}

// An instance that comes back with another outside port: its routes may be numbered from the start.
TEST_F(LedgerFileTest, RequestNumbersBeginAnewWithAnotherUrlAndTheBooksGoOn) {
  ledger_->numbered_for("http://203.0.113.9:41234");
  EXPECT_EQ(ledger_->accept(kOwner, signed_request(5)).first, Verdict::kReplayed) << "it is the first URL";
  ledger_->finish(accept(signed_request(1000)), {});
  reopen();
  ledger_->numbered_for("http://203.0.113.9:41234");
  EXPECT_EQ(ledger_->accept(kOwner, signed_request(6)).first, Verdict::kStale);
  reopen();
  ledger_->numbered_for("http://203.0.113.9:52345");
  accept(signed_request(6));
  EXPECT_EQ(ledger_->accept(kOwner, signed_request(6)).first, Verdict::kReplayed);
  LedgerSnapshot books = ledger_->snapshot();
  EXPECT_EQ(books.totals.received.requests, 3);
  EXPECT_EQ(books.distinct_reqnums, 3u);
  EXPECT_FALSE(moved_aside());
}

TEST_F(LedgerFileTest, SupervisorContinuesTheBooksThatAnOldProxyStillHas) {
  auto proxy = Ledger::attach(path_).value();
  reopen();
  proxy->reject(-1, 500, {});
  EXPECT_EQ(ledger_->snapshot().totals.received.requests, 2);
}

TEST_F(LedgerFileTest, AnotherLayoutVersionIsMovedAside) {
  ledger_.reset();
  overwrite_word(path_, layout::kVersionWord, layout::kVersion - 1);
  reopen();
  EXPECT_FALSE(continued());
  EXPECT_TRUE(moved_aside());
}

TEST_F(LedgerFileTest, AnotherWorkersBooksAreMovedAside) {
  reopen("container 2");
  EXPECT_FALSE(continued());
  EXPECT_TRUE(moved_aside());
}

TEST_F(LedgerFileTest, ShortFileIsMovedAside) {
  ledger_.reset();
  std::filesystem::resize_file(path_, 4096);
  reopen();
  EXPECT_FALSE(continued());
  EXPECT_TRUE(moved_aside());
}

TEST_F(LedgerFileTest, TextFileIsMovedAside) {
  ledger_.reset();
  std::ofstream(path_) << "not a ledger";
  reopen();
  EXPECT_TRUE(moved_aside());
}

TEST_F(LedgerFileTest, FileOfOtherBytesIsMovedAside) {
  ledger_.reset();
  overwrite_word(path_, layout::kMagicWord, 0);
  reopen();
  EXPECT_FALSE(continued());
  EXPECT_TRUE(moved_aside());
}

TEST_F(LedgerFileTest, BooksThatContradictThemselvesAreMovedAside) {
  const std::pair<std::size_t, std::uint64_t> damages[] = {
      {layout::total_requests(layout::TotalOf::kReceived), 17},
      {layout::total_work(layout::TotalOf::kServed), 17},
      {layout::slot(3) + layout::kSlotOwner, 17},
      {layout::kSlotBitmap + 2, 17},
      {layout::ring(true) + layout::kRingTail, 1'000'000},
  };
  for (const auto& [word, value] : damages) {
    ledger_.reset();
    overwrite_word(path_, word, value);
    reopen();
    EXPECT_TRUE(moved_aside()) << "word " << word;
    EXPECT_EQ(ledger_->snapshot().totals, Totals());
    std::filesystem::remove(path_ + ".old");
  }
}

TEST_F(LedgerFileTest, LockLeftHeldByAMachineThatWentDownIsMadeNew) {
  ledger_.reset();
  // What the mutex would look like: taken by a thread whose death nobody will announce.
  overwrite_word(path_, layout::kMutex, 0x7fffffff);
  reopen();
  EXPECT_TRUE(continued());
  EXPECT_FALSE(ledger_->snapshot().outdated);
}

TEST_F(LedgerFileTest, JournalLeftByAMachineThatWentDownIsApplied) {
  ledger_.reset();
  overwrite_word(path_, layout::kJournalPairs, layout::total_work(layout::TotalOf::kReceived));
  overwrite_word(path_, layout::kJournalPairs + 1, 1500);
  overwrite_word(path_, layout::kJournalPairs + 2, layout::total_work(layout::TotalOf::kServed));
  overwrite_word(path_, layout::kJournalPairs + 3, 1500);
  overwrite_word(path_, layout::kJournalCount, 2);
  reopen();
  EXPECT_EQ(ledger_->snapshot().totals.served.work_milli, 1500);
  EXPECT_FALSE(moved_aside());
}

TEST_F(LedgerFileTest, FolderAtTheLedgersPlaceIsAnErrorAndStays) {
  std::filesystem::create_directory(folder_ / "folder");
  auto ledger = Ledger::create(folder_ / "folder", "container 1");
  ASSERT_FALSE(ledger);
  EXPECT_TRUE(std::filesystem::is_directory(folder_ / "folder"));
}

TEST_F(LedgerFileTest, MissingFolderIsAnErrorThatNamesTheFile) {
  auto ledger = Ledger::create(folder_ / "nowhere/ledger", "container 1");
  ASSERT_FALSE(ledger);
  EXPECT_NE(ledger.error().message.find("nowhere/ledger"), std::string::npos);
}

TEST_F(LedgerFileTest, ProxyAttachesOnlyToALedgerOfThisVersion) {
  EXPECT_TRUE(Ledger::attach(path_));
  EXPECT_FALSE(Ledger::attach(folder_ / "none"));
  EXPECT_FALSE(std::filesystem::exists(folder_ / "none"));
  overwrite_word(path_, layout::kVersionWord, layout::kVersion + 1);
  auto refused = Ledger::attach(path_);
  ASSERT_FALSE(refused);
  EXPECT_NE(refused.error().message.find("version"), std::string::npos);
}

TEST_F(LedgerFileTest, OthersCannotReadTheBooks) {
  auto permissions = std::filesystem::status(path_).permissions();
  EXPECT_EQ(permissions, std::filesystem::perms::owner_read | std::filesystem::perms::owner_write);
}

}  // namespace
}  // namespace cppworker
