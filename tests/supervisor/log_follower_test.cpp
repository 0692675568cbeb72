#include "supervisor/log_follower.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <fstream>

#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;

class LogFollowerTest : public testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(path, std::ios::app) << text; }
  // In place: the same file, emptied.
  void overwrite(const std::string& text) { std::ofstream(path, std::ios::trunc) << text; }
  void rotate() { std::filesystem::rename(path, path + ".1"); }
  std::vector<std::string> poll() {
    lines.clear();
    follower.poll();
    return lines;
  }
  std::vector<std::string> finish() {
    lines.clear();
    follower.finish();
    return lines;
  }

  TemporaryFolder folder;
  const std::string path = folder / "infer.log";
  std::vector<std::string> lines;
  LogFollower follower{path, [this](std::string_view line) { lines.emplace_back(line); }};
};

TEST_F(LogFollowerTest, HandsOverLinesAsTheyAreCompleted) {
  follower.begin();
  write("one\ntw");
  EXPECT_THAT(poll(), ElementsAre("one"));
  EXPECT_THAT(poll(), IsEmpty());
  write("o\r\nthree\n");
  EXPECT_THAT(poll(), ElementsAre("two", "three"));
}

TEST_F(LogFollowerTest, WaitsForAFileThatIsNotThereYet) {
  follower.begin();
  EXPECT_THAT(poll(), IsEmpty());
  write("starting model download\n");
  EXPECT_THAT(poll(), ElementsAre("starting model download"));
}

// A ready line of yesterday must not make today's launch ready.
TEST_F(LogFollowerTest, PassesOverWhatEarlierLaunchesWrote) {
  write("Connected\n");
  follower.begin();
  EXPECT_THAT(poll(), IsEmpty());
  write("new\n");
  EXPECT_THAT(poll(), ElementsAre("new"));
  write("half");
  poll();
  follower.begin();
  write("whole\n");
  EXPECT_THAT(poll(), ElementsAre("whole"));
}

TEST_F(LogFollowerTest, FollowsTheNameWhenTheFileIsRotated) {
  follower.begin();
  write("one\n");
  poll();
  write("two\n");
  rotate();
  EXPECT_THAT(poll(), ElementsAre("two")) << "the end of the old one, while there is no new one";
  std::ofstream(path + ".1", std::ios::app) << "late\n";
  write("three\n");
  EXPECT_THAT(poll(), ElementsAre("late")) << "its writer has not noticed yet";
  EXPECT_THAT(poll(), ElementsAre("three"));
}

TEST_F(LogFollowerTest, AHalfLineEndsWithItsFile) {
  follower.begin();
  write("half");
  poll();
  rotate();
  write("new\n");
  EXPECT_THAT(poll(), ElementsAre("half", "new"));
}

TEST_F(LogFollowerTest, BeginsAnewWhenTheFileIsEmptied) {
  follower.begin();
  write("a long first line\nand a second\n");
  poll();
  overwrite("short\n");
  EXPECT_THAT(poll(), ElementsAre("short"));
}

// copytruncate, or a launch script's `>`, between two looks.
TEST_F(LogFollowerTest, NoticesAFileThatWasEmptiedAndHasGrownBeyond) {
  follower.begin();
  write("one\n");
  poll();
  overwrite("another beginning\nConnected\n");
  EXPECT_THAT(poll(), ElementsAre("another beginning", "Connected"));
}

TEST_F(LogFollowerTest, NoticesThatOfWhatWasThereAtTheLaunch) {
  write("Connected, of yesterday\n");
  follower.begin();
  overwrite("starting model download, a long line of today\n");
  EXPECT_THAT(poll(), ElementsAre("starting model download, a long line of today"));
}

TEST_F(LogFollowerTest, TheLastWordsNeedNoLineEnd) {
  follower.begin();
  write("Killed");
  EXPECT_THAT(poll(), IsEmpty());
  EXPECT_THAT(finish(), ElementsAre("Killed"));
}

TEST_F(LogFollowerTest, ReadsAHugeFilePieceByPiece) {
  follower.begin();
  write(std::string(3 << 20, '\n'));
  std::size_t seen = 0;
  for (int i = 0; i < 4; ++i) {
    const std::size_t got = poll().size();
    EXPECT_LE(got, LogFollower::kMostPerPoll);
    seen += got;
  }
  EXPECT_EQ(seen, 3u << 20);
}

// The tracebacks of all its shards, and then why.
TEST_F(LogFollowerTest, TheLastWordsAreReadHoweverMuchWasSaidBeforeThem) {
  follower.begin();
  write("first\n");
  for (int i = 0; i < 300; ++i) write(std::string(100 << 10, 'x') + "\n");
  write("RuntimeError: why\nKilled");
  const std::vector<std::string> read = finish();
  ASSERT_GT(read.size(), 2u);
  EXPECT_EQ(read.front(), "first");
  EXPECT_THAT(std::vector<std::string>(read.end() - 2, read.end()),
              ElementsAre("RuntimeError: why", "Killed"));
  EXPECT_LT(read.size(), 300u) << "the loop doesn't stand still for all of 30 MiB";
}

TEST_F(LogFollowerTest, NothingIsLeftOutOfALastMegabyteOrTwo) {
  follower.begin();
  std::string dump;
  for (int i = 0; i < 1 << 17; ++i) dump += "0123456\n";
  write(dump + "7654321\n");
  EXPECT_EQ(finish().size(), (1u << 17) + 1);
}

TEST_F(LogFollowerTest, TheLastWordsMayStandInTheNextFile) {
  follower.begin();
  write("one\n");
  poll();
  write("two\n");
  rotate();
  write("three\nfour");
  EXPECT_THAT(finish(), ElementsAre("two", "three", "four"));
}

// MODEL_LOG=/dev/stdout, or a pipe without a writer.
TEST_F(LogFollowerTest, LeavesAloneWhatIsNoFile) {
  ASSERT_EQ(::mkfifo(path.c_str(), 0600), 0);
  follower.begin();
  EXPECT_THAT(poll(), IsEmpty());
  std::filesystem::remove(path);
  write("now\n");
  EXPECT_THAT(poll(), ElementsAre("now"));
}

}  // namespace
}  // namespace cppworker
