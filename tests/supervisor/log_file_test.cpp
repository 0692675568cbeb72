#include "supervisor/log_file.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "common/text.hpp"
#include "supervisor/log_ring.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

std::string content(const std::string& path) {
  return read_file(path, 1 << 20).value_or("(none)");
}

TEST(LogFile, AppendsToWhatIsThere) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.log";
  {
    LogFile log(path);
    log.append("one");
  }
  LogFile log(path);
  log.append("two");
  log.flush();
  EXPECT_EQ(content(path), "one\ntwo\n");
  EXPECT_EQ(log.write_errors(), 0u);
}

TEST(LogFile, IsOnlyForItsOwner) {
  const TemporaryFolder folder;
  LogFile log(folder / "model.log");
  log.append("prompt");
  log.flush();
  struct stat about;
  ASSERT_EQ(::stat((folder / "model.log").c_str(), &about), 0);
  EXPECT_EQ(about.st_mode & 0777, 0600u);
}

TEST(LogFile, KeepsSoManyFilesOfSuchASize) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.log";
  LogFile log(path, {.largest = 10, .files = 3});
  for (const char* line : {"aaaaaaa", "bbbbbbb", "ccccccc", "ddddddd"}) {
    log.append(line);
    log.flush();
  }
  EXPECT_EQ(content(path), "ddddddd\n");
  EXPECT_EQ(content(path + ".1"), "ccccccc\n");
  EXPECT_EQ(content(path + ".2"), "bbbbbbb\n");
  EXPECT_EQ(content(path + ".3"), "(none)");
  EXPECT_EQ(log.rotations(), 3u);
}

TEST(LogFile, MakesRoomForANewOneWhenItIsOld) {
  using namespace std::chrono_literals;
  const TemporaryFolder folder;
  const std::string path = folder / "model.log";
  auto now = std::chrono::system_clock::now();
  const auto write = [&](const char* line) {
    LogFile log(path, {.oldest = 24h}, {.now = [&] { return now; }});
    log.append(line);
    log.flush();
    return log.rotations();
  };
  EXPECT_EQ(write("one"), 0u);
  now += 23h;
  EXPECT_EQ(write("two"), 0u);
  now += 2h;
  EXPECT_EQ(write("three"), 1u) << "also when the worker was started again meanwhile";
  EXPECT_EQ(content(path), "three\n");
  EXPECT_EQ(content(path + ".1"), "one\ntwo\n");
}

// Symptom: once old, it was emptied before each line, as its age wasn't.
TEST(LogFile, IsOldOnlyOnceAlsoWhereNoOtherFileIsKept) {
  using namespace std::chrono_literals;
  for (const bool can_move : {true, false}) {
    const TemporaryFolder folder;
    const std::string path = folder / "model.log";
    // Nothing can be renamed to a folder.
    ASSERT_TRUE(can_move || ::mkdir((path + ".1").c_str(), 0700) == 0);
    auto now = std::chrono::system_clock::now();
    LogFile log(path, {.files = can_move ? 1 : 2, .oldest = 24h}, {.now = [&] { return now; }});
    const auto write = [&](const char* line) {
      log.append(line);
      log.flush();
    };
    write("one");
    now += 25h;
    write("two");
    now += 1h;
    write("three");
    EXPECT_EQ(content(path), "two\nthree\n");
    EXPECT_EQ(log.rotations(), 1u);
  }
}

TEST(LogFile, DropsTheOldestBeyondItsTotal) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.log";
  // An earlier start kept more of them, and larger ones.
  for (int number = 1; number <= 6; ++number)
    ASSERT_TRUE(write_file_atomically(path + "." + std::to_string(number), std::string(30, 'x')));
  LogFile log(path, {.largest = 10, .files = 4, .total = 60});
  log.append("aaaaaaa");
  log.flush();
  log.append("bbbbbbb");
  log.flush();
  EXPECT_EQ(content(path), "bbbbbbb\n");
  EXPECT_EQ(content(path + ".1"), "aaaaaaa\n");
  EXPECT_EQ(content(path + ".2"), std::string(30, 'x'));
  for (int number = 3; number <= 6; ++number)
    EXPECT_EQ(content(path + "." + std::to_string(number)), "(none)") << number;
}

TEST(LogFile, CountsWhatAnEarlierRunWrote) {
  const TemporaryFolder folder;
  const std::string path = folder / "model.log";
  { LogFile(path).append("12345678"); }
  LogFile log(path, {.largest = 10, .files = 2});
  log.append("next");
  log.flush();
  EXPECT_EQ(content(path), "next\n");
  EXPECT_EQ(content(path + ".1"), "12345678\n");
}

TEST(LogFile, WithASingleFileStartsItAnew) {
  const TemporaryFolder folder;
  LogFile log(folder / "model.log", {.largest = 10, .files = 1});
  for (const char* line : {"aaaaaaa", "bbbbbbb"}) {
    log.append(line);
    log.flush();
  }
  EXPECT_EQ(content(folder / "model.log"), "bbbbbbb\n");
  EXPECT_EQ(content(folder / "model.log.1"), "(none)");
}

TEST(LogFile, CountsErrorsAndWorksAgainWhenTheyAreOver) {
  const TemporaryFolder folder;
  LogFile log(folder / "later/model.log");
  log.append("lost");
  log.flush();
  EXPECT_EQ(log.write_errors(), 1u);
  ASSERT_EQ(::mkdir((folder / "later").c_str(), 0700), 0);
  log.append("kept");
  log.flush();
  EXPECT_EQ(log.write_errors(), 1u);
  EXPECT_EQ(content(folder / "later/model.log"), "kept\n");
}

// A limit on the size of files fails a write half-way, as a full disk does.
TEST(LogFile, SurvivesADiskThatIsFull) {
  const TemporaryFolder folder;
  const auto before = ::signal(SIGXFSZ, SIG_IGN);
  rlimit unlimited;
  ::getrlimit(RLIMIT_FSIZE, &unlimited);
  LogFile log(folder / "model.log");
  const rlimit small{1000, unlimited.rlim_max};
  ::setrlimit(RLIMIT_FSIZE, &small);
  for (int i = 0; i < 3; ++i) {
    log.append(std::string(900, 'x'));
    log.flush();
  }
  ::setrlimit(RLIMIT_FSIZE, &unlimited);
  ::signal(SIGXFSZ, before);
  EXPECT_EQ(log.write_errors(), 2u);
  EXPECT_EQ(content(folder / "model.log").size(), 1000u);
  log.append("and on");
  log.flush();
  EXPECT_EQ(log.write_errors(), 2u);
  // After the half of a line; the next one would be glued to it.
  EXPECT_EQ(content(folder / "model.log"),
            std::string(900, 'x') + "\n" + std::string(99, 'x') + "\nand on\n");
}

TEST(LogFile, RefusesAPipeThatWouldBlock) {
  const TemporaryFolder folder;
  ASSERT_EQ(::mkfifo((folder / "pipe").c_str(), 0600), 0);
  LogFile log(folder / "pipe");
  log.append("line");
  log.flush();
  EXPECT_EQ(log.write_errors(), 1u);
}

TEST(LogFile, FollowsItsNameAfterReopening) {
  const TemporaryFolder folder;
  LogFile log(folder / "model.log");
  log.append("old");
  log.flush();
  std::filesystem::rename(folder / "model.log", folder / "moved");
  log.append("still old");
  log.reopen();
  log.append("new");
  log.flush();
  EXPECT_EQ(content(folder / "moved"), "old\nstill old\n");
  EXPECT_EQ(content(folder / "model.log"), "new\n");
}

TEST(LogRing, KeepsTheLastLines) {
  LogRing ring;
  for (std::size_t i = 0; i < LogRing::kLines + 5; ++i) ring.append(std::to_string(i));
  ASSERT_EQ(ring.lines().size(), LogRing::kLines);
  EXPECT_EQ(ring.lines().front(), "5");
  EXPECT_EQ(ring.lines().back(), std::to_string(LogRing::kLines + 4));
}

TEST(LogRing, CutsLongLines) {
  LogRing ring;
  ring.append(std::string(LogRing::kLongestLine + 1, 'x'));
  EXPECT_EQ(ring.lines().back().size(), LogRing::kLongestLine);
}

}  // namespace
}  // namespace cppworker
