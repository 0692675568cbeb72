#include "common/log_writer.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <poll.h>
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <optional>
#include <sstream>

#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;

class LogWriterTest : public testing::Test {
 protected:
  LogWriterTest() {
    ::signal(SIGPIPE, SIG_IGN);
    int ends[2];
    // As packets: each read is what one write has written.
    if (::pipe2(ends, O_CLOEXEC | O_DIRECT) != 0) throw std::runtime_error("pipe2");
    reader.reset(ends[0]);
    writer.reset(ends[1]);
  }
  ~LogWriterTest() override { ::signal(SIGPIPE, SIG_DFL); }

  void make(std::chrono::milliseconds flush_limit = 10s) {
    logger.emplace("test", std::make_shared<LogWriter>(writer.get(), flush_limit));
    logger->set_pattern("%n: %v");
  }
  // The next write; empty when none comes.
  std::string read_piece(std::chrono::milliseconds patience = 10s) {
    pollfd waiting{reader.get(), POLLIN, 0};
    char bytes[8192];
    if (::poll(&waiting, 1, static_cast<int>(patience.count())) <= 0) return {};
    const ssize_t got = ::read(reader.get(), bytes, sizeof bytes);
    return {bytes, got > 0 ? static_cast<std::size_t>(got) : 0};
  }

  UniqueFd reader, writer;
  std::optional<spdlog::logger> logger;
};

TEST_F(LogWriterTest, WritesALineAsItComes) {
  make();
  logger->info("one");
  EXPECT_EQ(read_piece(), "test: one\n");
  logger->info("two");
  EXPECT_EQ(read_piece(), "test: two\n");
}

// A worker's programs write to one pipe.
TEST_F(LogWriterTest, WritesWholeLinesThatNobodyElseCanTear) {
  make();
  const std::string text(90, 'x');
  for (int i = 0; i < 5000; ++i) logger->info(text);
  std::size_t lines = 0;
  while (lines < 5000) {
    const std::string piece = read_piece();
    ASSERT_FALSE(piece.empty());
    EXPECT_LE(piece.size(), 4096u);
    EXPECT_EQ(piece.back(), '\n');
    lines += static_cast<std::size_t>(std::count(piece.begin(), piece.end(), '\n'));
    if (piece.find("dropped") != std::string::npos) break;
  }
}

// Symptom: /livez, SIGTERM and the model's pipes hung with the collector that read the worker's output.
TEST_F(LogWriterTest, DropsAndCountsWhatNobodyReads) {
  make();
  constexpr int kLines = 20'000;  // several times what the pipe and the queue hold
  const std::string text(100, 'x');
  for (int i = 0; i < kLines; ++i) logger->info("{} {}", i, text);  // would hang here

  int kept = 0, dropped = 0, last = -1;
  while (kept + dropped < kLines) {
    const std::string piece = read_piece();
    ASSERT_FALSE(piece.empty()) << kept << " and " << dropped;
    std::istringstream lines(piece);
    for (std::string name, line; lines >> name && std::getline(lines, line);) {
      int number = 0;
      ASSERT_EQ(std::sscanf(line.c_str(), "%d", &number), 1) << line;
      if (line.find("lines of the log were dropped") != std::string::npos) {
        dropped += number;
        continue;
      }
      EXPECT_GT(number, last) << "in their order";
      last = number;
      ++kept;
    }
  }
  EXPECT_GT(dropped, 0);
  EXPECT_GT(kept, 1000);
  logger->info("again");
  EXPECT_EQ(read_piece(), "test: again\n");
}

TEST_F(LogWriterTest, FlushesAtItsEnd) {
  make();
  for (int i = 0; i < 20; ++i) logger->info("last words");
  logger.reset();
  writer.reset();
  std::size_t lines = 0;
  for (std::string piece; !(piece = read_piece()).empty();)
    lines += static_cast<std::size_t>(std::count(piece.begin(), piece.end(), '\n'));
  EXPECT_EQ(lines, 20u);
}

TEST_F(LogWriterTest, EndsAlsoWhenNobodyReads) {
  make(10ms);
  for (int i = 0; i < 20'000; ++i) logger->info("{}", std::string(100, 'x'));
  logger.reset();  // would hang here
  reader.reset();  // lets the thread go, which nobody can wait for: its descriptor stays open
  (void)writer.release();
}

TEST_F(LogWriterTest, SurvivesAReaderThatIsGone) {
  make();
  reader.reset();
  logger->info("into the void");
  logger->flush();
  logger->info("and again");
  logger->flush();
}

}  // namespace
}  // namespace cppworker
