#include "common/text.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <chrono>
#include <filesystem>
#include <thread>

namespace {
int waits_for_disk = 0;
}

// In the place of the C library's, to see who calls it.
extern "C" int fsync(int fd) {
  ++waits_for_disk;
  return static_cast<int>(::syscall(SYS_fsync, fd));
}

namespace cppworker {
namespace {

class TextFiles : public testing::Test {
 protected:
  void SetUp() override { ASSERT_NE(mkdtemp(folder_.data()), nullptr); }
  void TearDown() override { std::filesystem::remove_all(folder_); }
  std::string path(const std::string& name) const { return folder_ + "/" + name; }

  std::string folder_ = testing::TempDir() + "text-XXXXXX";
};

TEST(Text, TrimTakesBlanksFromBothEndsOnly) {
  EXPECT_EQ(trim(" \t a b\r\n"), "a b");
  EXPECT_EQ(trim("\n \t"), "");
  EXPECT_EQ(trim(""), "");
}

TEST(Text, ListsDropEmptyParts) {
  EXPECT_EQ(split_list(" a, b ,,c,", ','), (std::vector<std::string>{"a", "b", "c"}));
  EXPECT_TRUE(split_list(" , ", ',').empty());
}

TEST(Text, SuggestsTheNearestWordUnlessItIsFar) {
  EXPECT_EQ(nearest("endpints", {"server", "endpoints", "health"}), "endpoints");
  EXPECT_EQ(nearest("tig", {"tgi", "toy"}), std::nullopt);
  EXPECT_EQ(nearest("sdato", {"sdauto", "ooba"}), "sdauto");
  EXPECT_EQ(nearest("benchmark", {"name", "log"}), std::nullopt);
}

TEST_F(TextFiles, WhatIsWrittenIsReadBackUpToTheLimit) {
  ASSERT_TRUE(write_file_atomically(path("a"), "hello"));
  EXPECT_EQ(read_file(path("a"), 100), "hello");
  EXPECT_EQ(read_file(path("a"), 3), "hel");
  EXPECT_EQ(read_file(path("missing"), 100), std::nullopt);
}

// A pipe that lies in a file's place held up the start for ever.
TEST_F(TextFiles, APipeThatNobodyWritesToIsEmpty) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  ::alarm(20);
  EXPECT_EQ(read_file(path("pipe"), 100), "");
  ::alarm(0);
}

TEST_F(TextFiles, APipeIsReadAsSoonAsItsWriterHasSomething) {
  ASSERT_EQ(::mkfifo(path("pipe").c_str(), 0600), 0);
  const int reader = ::open(path("pipe").c_str(), O_RDONLY | O_NONBLOCK);
  const int writer = ::open(path("pipe").c_str(), O_WRONLY);
  std::thread later([&] {
    std::this_thread::sleep_for(std::chrono::milliseconds(50));
    EXPECT_EQ(::write(writer, "hello", 5), 5);
    ::close(writer);
  });
  EXPECT_EQ(read_file(path("pipe"), 100), "hello");
  later.join();
  ::close(reader);
}

// The supervisor's loop must not stand still for as long as a disk is busy with a model.
TEST_F(TextFiles, OnlyWhatIsToOutliveTheMachineIsWaitedFor) {
  waits_for_disk = 0;
  ASSERT_TRUE(replace_file(path("a"), "first"));
  ASSERT_TRUE(replace_file(path("a"), "second"));
  EXPECT_EQ(waits_for_disk, 0);
  EXPECT_EQ(read_file(path("a"), 100), "second");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder_), {}), 1);
  EXPECT_FALSE(replace_file(path("no/such/folder"), "x"));
  ASSERT_TRUE(write_file_atomically(path("a"), "third"));
  EXPECT_EQ(waits_for_disk, 1);
}

TEST_F(TextFiles, ReplacingLeavesNoTemporaryFileAndKeepsOthersOut) {
  ASSERT_TRUE(write_file_atomically(path("a"), "first"));
  ASSERT_TRUE(write_file_atomically(path("a"), "second"));
  EXPECT_EQ(read_file(path("a"), 100), "second");
  auto entries = std::filesystem::directory_iterator(folder_);
  EXPECT_EQ(std::distance(begin(entries), end(entries)), 1);
  struct stat status {};
  ASSERT_EQ(::stat(path("a").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
}

TEST_F(TextFiles, WritingIntoAFolderThatIsMissingFails) {
  EXPECT_FALSE(write_file_atomically(path("no/such/folder"), "x"));
}

TEST(Text, ComparesSecretsByTheirWholeContent) {
  EXPECT_TRUE(equal_in_constant_time("token", "token"));
  EXPECT_TRUE(equal_in_constant_time("", ""));
  EXPECT_FALSE(equal_in_constant_time("token", "tokem"));
  EXPECT_FALSE(equal_in_constant_time("token", "token1"));
}

}  // namespace
}  // namespace cppworker
