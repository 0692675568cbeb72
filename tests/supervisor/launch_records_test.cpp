#include "supervisor/launch_records.hpp"

#include <gmock/gmock.h>
#include <signal.h>
#include <unistd.h>

#include <fstream>
#include <nlohmann/json.hpp>

#include "common/text.hpp"
#include "supervisor/environment.hpp"
#include "supervisor/orphan_reaper.hpp"
#include "supervisor/process_runner.hpp"
#include "tests/supervisor/process_test.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::IsEmpty;

class LaunchRecordsTest : public ProcessTest {
 protected:
  std::string path() { return folder / "launches.json"; }
  void write(const nlohmann::json& document) { std::ofstream(path()) << document.dump(); }
  static std::string boot() {
    return std::string(trim(read_file("/proc/sys/kernel/random/boot_id", 64).value()));
  }

  TemporaryFolder folder;
};

TEST_F(LaunchRecordsTest, AreThereForTheNextSupervisor) {
  {
    LaunchRecords records(path());
    EXPECT_THAT(records.all(), IsEmpty());
    records.begin({.service = "model", .mark = "first"});
    records.begin({.service = "proxy", .mark = "second", .cgroup = "/sys/fs/cgroup/cppworker-x"});
    records.launched("second", ::getpid());
    records.begin({.service = "hook", .mark = "third"});
    records.end("third");
  }
  const LaunchRecords next(path());
  ASSERT_EQ(next.all().size(), 2u);
  EXPECT_EQ(next.all()[0].service, "model");
  EXPECT_EQ(next.all()[0].mark, "first");
  EXPECT_EQ(next.all()[0].pid, -1) << "killed before, or while, it launched: the mark finds it";
  EXPECT_EQ(next.all()[1].cgroup, "/sys/fs/cgroup/cppworker-x");
  EXPECT_EQ(next.all()[1].pid, ::getpid());
  EXPECT_EQ(next.all()[1].start_time, look_at_process(::getpid())->start_time);
}

TEST_F(LaunchRecordsTest, MeanNothingAfterABoot) {
  write({{"boot", "another"}, {"launches", {{{"service", "model"}, {"mark", "m"}, {"pid", ::getpid()}}}}});
  EXPECT_THAT(LaunchRecords(path()).all(), IsEmpty());
}

TEST_F(LaunchRecordsTest, SurviveAFileThatMakesNoSense) {
  for (const char* text : {"", "{", "[]", "{\"boot\":1}", "{\"boot\":\"B\",\"launches\":3}",
                           "{\"boot\":\"B\",\"launches\":[1,{},{\"mark\":7},{\"mark\":\"\"}]}"}) {
    std::string content = text;
    if (const auto at = content.find('B'); at != std::string::npos) content.replace(at, 1, boot());
    std::ofstream(path()) << content;
    EXPECT_THAT(LaunchRecords(path()).all(), IsEmpty()) << text;
  }
}

TEST_F(LaunchRecordsTest, CostNoLaunchWhereTheyCannotBeWritten) {
  LaunchRecords records("/proc/none/launches.json");
  records.begin({.service = "model", .mark = "m"});
  records.launched("m", ::getpid());
  EXPECT_EQ(records.all().size(), 1u);
}

// What a supervisor that got kill -9 leaves: descendants of its model, in sessions of their own.
TEST_F(LaunchRecordsTest, LeadToWhatAKilledSupervisorLeft) {
  become_subreaper();
  asio::io_context io;
  const auto runner = make_process_runner(io);
  OrphanReaper reaper(io, [&](pid_t pid) { return runner->owns(pid); });
  reaper.start();
  const std::string mark = make_tree_mark();
  std::string out;
  bool ended = false;
  auto child = runner->spawn({.name = "model",
                              .program = kChildProgram,
                              .args = {"double_fork", "bare"},
                              .environment = child_environment(own_environment(), {}, mark)},
                             {.on_output = [&](OutputStream, std::string_view bytes) { out += bytes; },
                              .on_exit = [&](ExitStatus) { ended = true; }});
  ASSERT_TRUE(child);
  {
    LaunchRecords records(path());
    records.begin({.service = "model", .mark = mark});
    records.launched(mark, (*child)->pid());
  }
  ASSERT_TRUE(run_until(io, [&] { return out.ends_with('\n'); }));
  const pid_t escaped = std::atoi(out.substr(out.find("up ") + 3).c_str());
  (*child)->signal_leader(SIGKILL);
  ASSERT_TRUE(run_until(io, [&] { return ended; }));
  ASSERT_TRUE(look_at_process(escaped)) << "it must still be there, or this proves nothing";

  LaunchRecords next(path());
  EXPECT_THAT(run_coroutine(io, end_left_behind(next, 10s)).value(), IsEmpty());
  EXPECT_TRUE(run_until(io, [&] { return !look_at_process(escaped); }));
  EXPECT_THAT(next.all(), IsEmpty());
  EXPECT_THAT(LaunchRecords(path()).all(), IsEmpty()) << "also on disk";
}

TEST_F(LaunchRecordsTest, LeadIntoNoControlGroupThatIsNoLaunchs) {
  asio::io_context io;
  const pid_t stranger = ::fork();
  if (stranger == 0)
    while (true) ::pause();
  const std::string group = folder / "somebodys";
  std::filesystem::create_directories(group);
  std::ofstream(group + "/cgroup.procs") << stranger << "\n";
  write({{"boot", boot()},
         {"launches", {{{"service", "model"}, {"mark", make_tree_mark()}, {"cgroup", group}}}}});
  LaunchRecords records(path());
  ASSERT_EQ(records.all().size(), 1u);
  EXPECT_THAT(run_coroutine(io, end_left_behind(records, 10s)).value(), IsEmpty());
  const auto process = look_at_process(stranger);
  EXPECT_TRUE(process && process->state != 'Z');
}

// Its number belongs to somebody else by now.
TEST_F(LaunchRecordsTest, LeadToNobodyWhoHasGotTheNumberSince) {
  asio::io_context io;
  const pid_t stranger = ::fork();
  if (stranger == 0)
    while (true) ::pause();
  write({{"boot", boot()},
         {"launches",
          {{{"service", "model"},
            {"mark", make_tree_mark()},
            {"pid", stranger},
            {"start_time", look_at_process(stranger)->start_time - 1}}}}});
  LaunchRecords records(path());
  ASSERT_EQ(records.all().size(), 1u);
  EXPECT_THAT(run_coroutine(io, end_left_behind(records, 10s)).value(), IsEmpty());
  const auto process = look_at_process(stranger);
  EXPECT_TRUE(process && process->state != 'Z');
  EXPECT_THAT(records.all(), IsEmpty());
}

}  // namespace
}  // namespace cppworker
