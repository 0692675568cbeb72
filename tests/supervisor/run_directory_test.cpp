#include "supervisor/run_directory.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>

#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;

unsigned mode_of(const std::string& path) {
  struct stat found {};
  EXPECT_EQ(::stat(path.c_str(), &found), 0) << path;
  return found.st_mode & 07777;
}

std::string content_of(const std::string& path) {
  std::ifstream file(path);
  return {std::istreambuf_iterator<char>(file), {}};
}

class RunDirectoryTest : public testing::Test {
 protected:
  std::string refusal(const std::string& path) {
    auto held = hold_run_directory(path);
    return held ? "(held)" : held.error().message;
  }

  TemporaryFolder folder;
  const std::string path = folder / "deep/run";
};

TEST_F(RunDirectoryTest, IsMadeWithItsParentsAndForItsOwnerAlone) {
  const auto held = hold_run_directory(path);
  ASSERT_TRUE(held) << held.error().message;
  EXPECT_EQ(mode_of(path), 0700u);
  EXPECT_EQ(mode_of(path + "/lock"), 0600u);
}

TEST_F(RunDirectoryTest, KeepsTheModeThatAnOperatorGaveIt) {
  std::filesystem::create_directories(path);
  ASSERT_EQ(::chmod(path.c_str(), 0750), 0);
  EXPECT_TRUE(hold_run_directory(path));
  EXPECT_EQ(mode_of(path), 0750u);
}

TEST_F(RunDirectoryTest, RefusesASecondWorkerAndNamesTheFirst) {
  const auto first = hold_run_directory(path);
  ASSERT_TRUE(first);
  EXPECT_EQ(refusal(path), "cannot use the run directory " + path + ": another worker (process " +
                               std::to_string(::getpid()) +
                               ") runs in it; stop that one, or choose another with --run-dir");
  EXPECT_EQ(content_of(path + "/lock"), std::to_string(::getpid()) + "\n") << "the refused one changed it";
  EXPECT_TRUE(hold_run_directory(folder / "another"));
}

TEST_F(RunDirectoryTest, IsFreeAgainWhenTheWorkerIsGone) {
  { ASSERT_TRUE(hold_run_directory(path)); }
  EXPECT_TRUE(hold_run_directory(path));
}

// A killed worker leaves its lock file behind; the pid in it may be anybody's by now.
TEST_F(RunDirectoryTest, TakesNoNoticeOfAFileThatNobodyHolds) {
  std::filesystem::create_directories(path);
  std::ofstream(path + "/lock") << "1\nand what an older version wrote\n";
  ASSERT_TRUE(hold_run_directory(path));
  EXPECT_EQ(content_of(path + "/lock"), std::to_string(::getpid()) + "\n");
}

// A child that got the lock with its descriptors would hold it after the worker's death.
TEST_F(RunDirectoryTest, IsNotHandedToChildren) {
  const auto held = hold_run_directory(path);
  ASSERT_TRUE(held);
  EXPECT_EQ(::fcntl(held->get(), F_GETFD) & FD_CLOEXEC, FD_CLOEXEC);
}

// Whoever was first under /tmp could plant a public key.
TEST_F(RunDirectoryTest, RefusesAFolderOfAnotherUser) {
  if (::geteuid() != 0) GTEST_SKIP() << "only root can give a folder away";
  constexpr uid_t kWe = 65534, kAnother = 12345;
  std::filesystem::create_directories(path);
  for (const std::string& parent : {folder / "", folder / "deep"})
    ASSERT_EQ(::chmod(parent.c_str(), 0755), 0);
  ASSERT_EQ(::chmod(path.c_str(), 0777), 0);
  ASSERT_EQ(::chown(path.c_str(), kAnother, kAnother), 0);
  ASSERT_EQ(::seteuid(kWe), 0);
  const std::string theirs = refusal(path);
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_EQ(::chown(path.c_str(), kWe, kWe), 0);
  ASSERT_EQ(::seteuid(kWe), 0);
  const std::string ours = refusal(path);
  ASSERT_EQ(::seteuid(0), 0);
  EXPECT_THAT(theirs, HasSubstr("it belongs to another user"));
  EXPECT_EQ(ours, "(held)");
}

TEST_F(RunDirectoryTest, WritesThroughNoLink) {
  std::filesystem::create_directories(path);
  std::ofstream(folder / "precious") << "content";
  std::filesystem::create_symlink(folder / "precious", path + "/lock");
  EXPECT_THAT(refusal(path), HasSubstr("cannot write to the run directory " + path));
  EXPECT_EQ(content_of(folder / "precious"), "content");
}

TEST_F(RunDirectoryTest, SaysWhyItCannotBeMade) {
  std::ofstream(folder / "file") << "in the way";
  EXPECT_THAT(refusal(folder / "file/run"),
              testing::AllOf(HasSubstr("cannot make the run directory " + (folder / "file/run")),
                             HasSubstr("Not a directory"), HasSubstr("choose another with --run-dir")));
}

TEST_F(RunDirectoryTest, SaysWhyItCannotBeWrittenTo) {
  std::filesystem::create_directories(path + "/lock");
  EXPECT_EQ(refusal(path), "cannot write to the run directory " + path + ": Is a directory");
}

TEST_F(RunDirectoryTest, ShowsNobodysBytesOnTheTerminal) {
  const auto first = hold_run_directory(path);
  ASSERT_TRUE(first);
  std::ofstream(path + "/lock", std::ios::trunc) << "12\x1b[2J\n";
  EXPECT_THAT(refusal(path), HasSubstr("(process 12?[2J)"));
}

}  // namespace
}  // namespace cppworker
