#include "supervisor/file_watch.hpp"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>

#include "tests/common/movable_clock.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
namespace fs = std::filesystem;

class FileWatchTest : public testing::Test {
 protected:
  void write(const std::string& name, const std::string& text = "line\n") {
    std::ofstream(folder / name, std::ios::app) << text;
  }
  FileWatch make(const std::string& name) { return FileWatch(io.get_executor(), folder / name); }
  // Begins to wait, for an hour at most.
  void wait(FileWatch& watch) {
    returned = false;
    watch.renew();
    asio::co_spawn(io, watch.changed(1h), [this](std::exception_ptr error) {
      EXPECT_EQ(error, nullptr);
      returned = true;
    });
    settle();
    EXPECT_FALSE(returned);
  }
  bool returns() {
    return run_until(io, [&] { return returned; });
  }
  void settle() {
    io.restart();
    io.poll();
  }

  MovableClock clock;
  asio::io_context io;
  TemporaryFolder folder;
  bool returned = false;
};

TEST_F(FileWatchTest, HearsOfEachWrite) {
  write("log");
  FileWatch watch = make("log");
  for (int i = 0; i < 3; ++i) {
    wait(watch);
    write("log");
    EXPECT_TRUE(returns());
  }
}

TEST_F(FileWatchTest, HearsOfAFileThatAppears) {
  FileWatch watch = make("log");
  EXPECT_TRUE(watch.works());
  wait(watch);
  write("log");
  EXPECT_TRUE(returns());
}

TEST_F(FileWatchTest, HearsOfOneThatTakesTheNameAndThenOfItsLines) {
  write("log");
  FileWatch watch = make("log");
  write("new");
  wait(watch);
  fs::rename(folder / "log", folder / "log.1");
  fs::rename(folder / "new", folder / "log");
  EXPECT_TRUE(returns());
  wait(watch);
  write("log");
  EXPECT_TRUE(returns());
  wait(watch);
  write("log.1");
  settle();
  EXPECT_FALSE(returned) << "that one was read to its end";
  write("log");
  EXPECT_TRUE(returns());
}

// A log that is a link to a folder of other files.
TEST_F(FileWatchTest, FollowsALink) {
  fs::create_directory(folder / "elsewhere");
  write("elsewhere/log");
  fs::create_symlink(folder / "elsewhere/log", folder / "log");
  FileWatch watch = make("log");
  wait(watch);
  write("elsewhere/log");
  EXPECT_TRUE(returns());
}

TEST_F(FileWatchTest, IsNotWokenByOtherFilesThatAreWritten) {
  write("log"), write("busy");
  FileWatch watch = make("log");
  wait(watch);
  write("busy");
  settle();
  EXPECT_FALSE(returned);
  write("log");
  EXPECT_TRUE(returns());
}

TEST_F(FileWatchTest, ReturnsWhenItsTimeIsOver) {
  write("log");
  FileWatch watch = make("log");
  wait(watch);
  clock.skip(io, 59min);
  EXPECT_FALSE(returned);
  clock.skip(io, 2min);
  EXPECT_TRUE(returned);
}

TEST_F(FileWatchTest, WithoutItsFolderItDoesNotWorkYetAndTheTimeAloneCounts) {
  FileWatch watch = make("later/log");
  EXPECT_FALSE(watch.works());
  wait(watch);
  clock.skip(io, 61min);
  EXPECT_TRUE(returned);
  fs::create_directory(folder / "later");
  watch.renew();
  EXPECT_TRUE(watch.works());
  wait(watch);
  write("later/log");
  EXPECT_TRUE(returns());
}

}  // namespace
}  // namespace cppworker
