#include "supervisor/log_file_writer.hpp"

#include <gmock/gmock.h>
#include <spdlog/sinks/ostream_sink.h>

#include <condition_variable>
#include <memory>
#include <mutex>
#include <optional>
#include <sstream>

#include "common/text.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::AllOf;
using testing::EndsWith;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using testing::StartsWith;

// A disk that hangs when it is told to. The thread may outlive the test.
struct Disk {
  void hang(bool wanted) {
    const std::lock_guard lock(mutex);
    hangs = wanted;
    changed.notify_all();
  }
  void wait_for_a_write() {
    std::unique_lock lock(mutex);
    ASSERT_TRUE(changed.wait_for(lock, kTestLimit, [this] { return waiting; }));
  }
  ssize_t write(int file, const void* bytes, std::size_t size) {
    std::unique_lock lock(mutex);
    waiting = hangs;
    changed.notify_all();
    changed.wait(lock, [this] { return !hangs; });
    waiting = false;
    return ::write(file, bytes, size);
  }

  std::mutex mutex;
  std::condition_variable changed;
  bool hangs = false, waiting = false;
};

class LogFileWriterTest : public testing::Test {
 protected:
  LogFileWriterTest() { spdlog::set_default_logger(logger); }
  ~LogFileWriterTest() override {
    disk->hang(false);
    log.reset();
    spdlog::set_default_logger(before);
  }

  void make(std::chrono::milliseconds end_limit = kTestLimit) {
    LogFileSystem system;
    system.write = [disk = disk](int file, const void* bytes, std::size_t size) {
      return disk->write(file, bytes, size);
    };
    log.emplace(path, LogFileLimits{}, system, end_limit);
  }
  void print(const std::string& line) {
    log->append(line);
    log->flush();
  }
  // What the file has when the writer has ended.
  std::string written() {
    log.reset();
    return read_file(path, 16 << 20).value_or("(none)");
  }
  // Lines of a kilobyte, each with its number, until none finds room; with one more on its way to the disk.
  void fill() {
    disk->hang(true);
    print("first");
    disk->wait_for_a_write();
    for (int i = 0; i < 2048; ++i)
      print(std::to_string(i) + " " + std::string(1000, 'x'));  // would hang here
  }

  std::shared_ptr<spdlog::logger> before = spdlog::default_logger();
  std::ostringstream said;  // looked at while the writer has ended, or nothing to say
  // The last to hold it: a thread sanitizer sees nothing of what the library lets go of.
  std::shared_ptr<spdlog::logger> logger =
      std::make_shared<spdlog::logger>("test", std::make_shared<spdlog::sinks::ostream_sink_mt>(said));
  TemporaryFolder folder;
  const std::string path = folder / "model.log";
  std::shared_ptr<Disk> disk = std::make_shared<Disk>();
  std::optional<LogFileWriter> log;
};

TEST_F(LogFileWriterTest, WritesEachLineInItsOrder) {
  make();
  std::string expected;
  for (int i = 0; i < 1000; ++i) {
    print(std::to_string(i));
    expected += std::to_string(i) + "\n";
  }
  EXPECT_EQ(written(), expected);
  EXPECT_THAT(said.str(), IsEmpty());
}

TEST_F(LogFileWriterTest, WritesALineWithoutWaitingForTheNext) {
  make();
  print("one");
  asio::io_context io;
  EXPECT_TRUE(run_until(io, [&] { return read_file(path, 100) == "one\n"; }));
}

TEST_F(LogFileWriterTest, DropsAndCountsWhatADiskThatHangsDoesNotTake) {
  make();
  fill();
  EXPECT_THAT(said.str(), AllOf(HasSubstr("Cannot write " + path + ": the disk doesn't keep up, or hangs"),
                                Not(HasSubstr("goes on"))));
  disk->hang(false);
  const std::string text = written();
  EXPECT_THAT(text, StartsWith("first\n0 x"));
  const std::size_t kept = static_cast<std::size_t>(std::count(text.begin(), text.end(), '\n')) - 2;
  EXPECT_GT(kept, 1000u);
  EXPECT_LT(kept * 1000, LogFileWriter::kMostQueued);
  EXPECT_THAT(text, HasSubstr("\n" + std::to_string(kept - 1) + " x"));
  EXPECT_THAT(text, EndsWith("\n[cppworker] " + std::to_string(2048 - kept) +
                             " lines were dropped here: the disk had taken none for a while\n"));
  EXPECT_THAT(said.str(),
              HasSubstr("Writing " + path + " goes on; " + std::to_string(2048 - kept) + " lines were"));
}

TEST_F(LogFileWriterTest, ALineThatFollowsIsBehindTheGap) {
  make();
  fill();
  print("short");
  disk->hang(false);
  asio::io_context io;
  ASSERT_TRUE(run_until(
      io, [&] { return read_file(path, 16 << 20).value_or("").find("dropped here") != std::string::npos; }));
  print("again");
  EXPECT_THAT(written(), AllOf(EndsWith("for a while\nagain\n"), Not(HasSubstr("short"))));
}

// A server that prints more than the disk takes has one gap after the other.
TEST_F(LogFileWriterTest, DoesNotSpeakOfEachGap) {
  make();
  for (int i = 0; i < 3; ++i) {
    fill();
    disk->hang(false);
    asio::io_context io;
    ASSERT_TRUE(run_until(io, [&] {
      const std::string text = read_file(path, 16 << 20).value_or("");
      std::size_t gaps = 0;
      for (std::size_t at = 0; (at = text.find("dropped here", at)) != std::string::npos; ++at) ++gaps;
      return gaps == static_cast<std::size_t>(i + 1);
    }));
  }
  log.reset();
  const std::string text = said.str();
  EXPECT_EQ(text.find("Cannot write"), text.rfind("Cannot write"));
  EXPECT_EQ(text.find("goes on"), text.rfind("goes on"));
}

// Symptom of what waits for ever: SIGTERM, and the worker is there until somebody kills it.
TEST_F(LogFileWriterTest, EndsAlsoWhenTheDiskHangs) {
  make(10ms);
  disk->hang(true);
  print("last words");
  disk->wait_for_a_write();
  log.reset();  // would hang here
  EXPECT_THAT(said.str(), HasSubstr("Cannot write " + path + ": the disk doesn't answer"));
}

TEST_F(LogFileWriterTest, OpensByNameWhatComesBehindTheSignalAlone) {
  make();
  disk->hang(true);
  print("first");
  disk->wait_for_a_write();
  log->append("before");
  std::filesystem::rename(path, folder / "moved");
  log->reopen();
  log->append("behind");
  log->reopen();  // before the disk has answered
  log->append("last");
  disk->hang(false);
  EXPECT_EQ(written(), "behind\nlast\n");
  EXPECT_EQ(read_file(folder / "moved", 100), "first\nbefore\n");
}

}  // namespace
}  // namespace cppworker
