#include "supervisor/startup_watch.hpp"

#include <gmock/gmock.h>
#include <unistd.h>

#include <fstream>

#include "supervisor/tree_activity.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::Pair;

constexpr TimePoint kStart = TimePoint() + 1000h;
const ProcessKey kServer = {100, 1}, kDownloader = {101, 2};
constexpr std::uint64_t kDownload = 7;  // a connection

class StartupWatchTest : public testing::Test {
 protected:
  StartupWatchTest() { watch.launched(now); }

  // A minute in which the server does so much per second.
  void minute(double bytes, double received, double cpu) {
    now += 60s;
    auto& server = activity.processes[kServer];
    server.bytes += static_cast<std::uint64_t>(bytes * 60);
    server.cpu_seconds += cpu * 60;
    activity.received_bytes[kDownload] += static_cast<std::uint64_t>(received * 60);
    watch.measured(activity, now);
  }
  void line(const std::string& text) {
    now += 60s;
    watch.saw_line(text, now);
  }

  StartupWatch watch{600s};
  TreeActivity activity;
  TimePoint now = kStart;
};

TEST_F(StartupWatchTest, AServerThatDoesNothingIsStalledAfterTheLimit) {
  for (int i = 0; i < 9; ++i) minute(0, 0, 0);
  EXPECT_FALSE(watch.stalled(now));
  EXPECT_EQ(watch.quiet(now), 9min);
  minute(0, 0, 0);
  EXPECT_TRUE(watch.stalled(now));
  EXPECT_THAT(watch.explain(now), HasSubstr("in 600 s no new log line"));
}

TEST_F(StartupWatchTest, ALongDownloadLives) {
  for (int i = 0; i < 300; ++i) minute(20 << 10, 0, 0.01);
  EXPECT_FALSE(watch.stalled(now));
  for (int i = 0; i < 300; ++i) minute(0, 150 << 10, 0.01);
  EXPECT_FALSE(watch.stalled(now)) << "one that keeps what it gets in memory";
}

TEST_F(StartupWatchTest, ACompilationThatReadsAndPrintsNothingLives) {
  for (int i = 0; i < 100; ++i) minute(0, 0, 0.9);
  EXPECT_FALSE(watch.stalled(now));
}

// What a process does that merely waits, and what knocks at a public port.
TEST_F(StartupWatchTest, TheNoiseOfWaitingIsNoProgress) {
  for (int i = 0; i < 11; ++i) minute(2 << 10, 20 << 10, 0.02);
  EXPECT_TRUE(watch.stalled(now));
}

// One file after the other, each over a connection of its own.
TEST_F(StartupWatchTest, ADownloadOverEverNewConnectionsLives) {
  for (std::uint64_t i = 0; i < 100; ++i) {
    activity.received_bytes = {{1000 + i, 10 << 20}};
    minute(0, 0, 0);
  }
  EXPECT_FALSE(watch.stalled(now));
}

TEST_F(StartupWatchTest, AConnectionThatRestsIsNoProgressHoweverMuchItBrought) {
  activity.received_bytes[kDownload] = 1 << 30;
  for (int i = 0; i < 12; ++i) minute(0, 0, 0);
  EXPECT_TRUE(watch.stalled(now));
}

// Where nobody tells the connections apart: a first connection brings a sum that is older than it.
TEST_F(StartupWatchTest, InterfacesCountFromTheFirstLookAtThem) {
  minute(0, 0, 0);
  activity.received_bytes = {{TreeActivity::kAllInterfaces, 1 << 30}};
  for (int i = 0; i < 10; ++i) minute(0, 0, 0);
  EXPECT_TRUE(watch.stalled(now));
  activity.received_bytes[TreeActivity::kAllInterfaces] += 60 << 20;
  minute(0, 0, 0);
  EXPECT_FALSE(watch.stalled(now));
}

TEST_F(StartupWatchTest, EachNewLineIsProgress) {
  for (int i = 0; i < 100; ++i) line(std::string(i + 1, '#'));
  EXPECT_FALSE(watch.stalled(now));
}

TEST_F(StartupWatchTest, ALineThatOnlyCountsOnIsNoProgress) {
  for (int i = 10; i < 31; ++i)
    line("2024-02-21T05:" + std::to_string(i) + ":00Z INFO Waiting for shard to be ready... rank=0");
  EXPECT_TRUE(watch.stalled(now));
}

TEST_F(StartupWatchTest, LinesThatTakeTurnsAreNoProgressEither) {
  for (int i = 0; i < 40; ++i) line("still waiting, turn " + std::string(i % 20, '.'));
  EXPECT_TRUE(watch.stalled(now));
}

TEST_F(StartupWatchTest, TheNextLaunchBeginsAnew) {
  line("starting model download");
  for (int i = 0; i < 10; ++i) minute(0, 0, 0);
  EXPECT_TRUE(watch.stalled(now));
  watch.launched(now);
  EXPECT_FALSE(watch.stalled(now));
  for (int i = 0; i < 9; ++i) minute(0, 0, 0);
  line("starting model download");
  EXPECT_FALSE(watch.stalled(now)) << "said by this launch for the first time";
}

TEST_F(StartupWatchTest, TheFirstMeasurementIsOnlyABase) {
  activity.processes[kServer] = {1 << 30, 1000};
  now += 599s;
  watch.measured(activity, now);
  now += 1s;
  EXPECT_TRUE(watch.stalled(now));
}

TEST_F(StartupWatchTest, AnEndedProcessTakesNothingBack) {
  minute(0, 0, 0);
  activity.processes[kDownloader] = {1 << 30, 100};
  minute(0, 0, 0);
  activity.processes.erase(kDownloader);
  minute(20 << 10, 0, 0);
  EXPECT_NEAR(watch.rates().bytes, 20 << 10, 1);
  EXPECT_EQ(watch.quiet(now), 0s);
}

TEST_F(StartupWatchTest, AProcessWithAUsedNumberCountsFromNothing) {
  TreeActivity before, after;
  before.processes[{7, 1}] = {1000, 5};
  after.processes[{7, 2}] = {100, 1};
  EXPECT_NEAR(rates_between(before, after, 10).bytes, 10, 1e-9);
  EXPECT_NEAR(rates_between(before, after, 10).cpu, 0.1, 1e-9);
  EXPECT_EQ(rates_between(before, after, 0).bytes, 0) << "two looks at one instant";
}

TEST(TreeActivityTest, ReadsTheKernelsTexts) {
  EXPECT_EQ(parse_io_bytes("rchar: 10\nwchar: 20\nsyscr: 5\nsyscw: 5\nread_bytes: 100\nwrite_bytes: 200\n"
                           "cancelled_write_bytes: 7\n"),
            330u);
  EXPECT_EQ(parse_received_bytes("Inter-|   Receive                                |  Transmit\n"
                                 " face |bytes    packets errs\n    lo: 999 1 0\n  eth0: 1234 10 0\n"
                                 "eth1:66 1 0\n"),
            1300u);
  EXPECT_EQ(parse_io_bytes(""), 0u);
}

TEST(TreeActivityTest, TellsADownloadFromItsClients) {
  const std::string rest = " 00000000:00000000 00:00000000 00000000 1000 0 4001 1 0 100\n";
  const std::string listener = "0: 00000000:0BB8 00000000:0000 0A" + rest;
  const std::string client = "1: 0A00000A:0BB8 0B00000A:D431 01" + rest;
  const std::string probe = "2: 0100007F:D431 0100007F:1389 01" + rest;
  const std::string download = "3: 0A00000A:D432 0C00000A:01BB 01" + rest;
  const std::string ended = "4: 0A00000A:D433 0C00000A:01BB 06" + rest;
  EXPECT_FALSE(has_own_connection(listener + client + probe + ended));
  EXPECT_TRUE(has_own_connection(listener + client + probe + download));
  EXPECT_FALSE(has_own_connection("sl local_address rem_address st\n"));
}

// Clients send pictures to a worker that loads, and hangs, with a connection for downloads at rest.
TEST(TreeActivityTest, CountsWhatComesOverConnectionsOfOurOwnAlone) {
  const std::vector<TcpSocket> sockets = {
      {.id = 1, .local_port = 3000, .listening = true},
      {.id = 2, .local_port = 3000, .received_bytes = 10 << 20},
      {.id = 3, .local_port = 54320, .received_bytes = 4000},
      {.id = 4, .local_port = 54321, .to_loopback = true, .received_bytes = 10 << 20}};
  EXPECT_THAT(received_from_outside(sockets), ElementsAre(Pair(3, 4000)));
}

TEST(TreeActivityTest, SeesWhatAProcessDoes) {
  TemporaryFolder folder;
  const std::vector<ProcessInfo> self = {look_at_process(::getpid()).value()};
  const TreeActivity before = read_activity(self, ::getpid());
  std::ofstream(folder / "file") << std::string(1 << 20, 'x');
  const TreeActivity after = read_activity(self, ::getpid());
  const ProcessKey key = {::getpid(), self[0].start_time};
  EXPECT_GE(after.processes.at(key).bytes, before.processes.at(key).bytes + (1 << 20));
  EXPECT_GE(after.processes.at(key).cpu_seconds, before.processes.at(key).cpu_seconds);
}

TEST(TreeActivityTest, AProcessThatIsGoneHasDoneNothing) {
  ProcessInfo gone;
  gone.pid = 1 << 23;
  EXPECT_EQ(read_activity({gone}, gone.pid).processes.at({gone.pid, 0}).bytes, 0u);
}

}  // namespace
}  // namespace cppworker
