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
    const LaunchRecords records(path());
    EXPECT_THAT(records.all(), IsEmpty()) << text;
    EXPECT_EQ(records.lost(), !content.empty()) << "nothing but a power cut empties it; it said " << text;
    EXPECT_EQ(std::filesystem::exists(path()), content.empty()) << text;
    EXPECT_EQ(read_file(path() + ".unreadable", 100).value_or(""), content) << "for who asks why";
  }
}

TEST_F(LaunchRecordsTest, AreLostWithAFileThatIsTooLong) {
  write({{"boot", boot()}, {"launches", nlohmann::json::array()}});
  EXPECT_FALSE(LaunchRecords(path()).lost());
  std::ofstream(path(), std::ios::app) << std::string(64 << 10, ' ');
  EXPECT_TRUE(LaunchRecords(path()).lost());
}

TEST_F(LaunchRecordsTest, AreLostWhereNoFileStandsInTheirPlace) {
  EXPECT_FALSE(LaunchRecords(path()).lost()) << "there is nothing yet";
  std::filesystem::create_directories(path());
  EXPECT_TRUE(LaunchRecords(path()).lost());
}

TEST_F(LaunchRecordsTest, GiveMarksThatTellOfTheFolder) {
  const LaunchRecords records(path()), again(path());
  const std::string mark = records.make_mark();
  EXPECT_EQ(mark.size(), make_tree_mark().size());
  EXPECT_NE(mark, records.make_mark());
  EXPECT_EQ(mark.substr(0, 8), again.make_mark().substr(0, 8)) << "also to the next worker on it";
  const TemporaryFolder other;
  EXPECT_NE(mark.substr(0, 8), LaunchRecords(other / "launches.json").make_mark().substr(0, 8));
}

TEST_F(LaunchRecordsTest, CostNoLaunchWhereTheyCannotBeWritten) {
  LaunchRecords records("/proc/none/launches.json");
  records.begin({.service = "model", .mark = "m"});
  records.launched("m", ::getpid());
  EXPECT_EQ(records.all().size(), 1u);
}

// What a supervisor that got kill -9 leaves: descendants of its model, in sessions of their own.
class LeftBehindTest : public LaunchRecordsTest {
 protected:
  LeftBehindTest() {
    become_subreaper();
    reaper.start();
  }

  // The number of one that has fled from a launch with that mark, whose leader is gone.
  pid_t leave(const std::string& mark, std::vector<std::string> args) {
    out.clear();
    ended = false;
    auto spawned = runner->spawn({.name = "model",
                                  .program = kChildProgram,
                                  .args = std::move(args),
                                  .environment = child_environment(own_environment(), {}, mark)},
                                 {.on_output = [this](OutputStream, std::string_view bytes) { out += bytes; },
                                  .on_exit = [this](ExitStatus) { ended = true; }});
    EXPECT_TRUE(spawned);
    child = std::move(*spawned);
    EXPECT_TRUE(run_until(io, [&] { return out.ends_with('\n'); }));
    leader = child->pid();
    const pid_t escaped = std::atoi(out.substr(out.find("up ") + 3).c_str());
    child->signal_leader(SIGKILL);
    EXPECT_TRUE(run_until(io, [&] { return ended; }));
    EXPECT_TRUE(look_at_process(escaped)) << "it must still be there, or this proves nothing";
    return escaped;
  }
  bool is_gone(pid_t pid) {
    return run_until(io, [&] { return !look_at_process(pid); });
  }

  asio::io_context io;
  std::unique_ptr<ProcessRunner> runner = make_process_runner(io);
  OrphanReaper reaper{io, [this](pid_t pid) { return runner->owns(pid); }};
  std::unique_ptr<ChildProcess> child;
  pid_t leader = -1;
  std::string out;
  bool ended = false;
};

TEST_F(LeftBehindTest, IsFoundByTheRecords) {
  const std::string mark = make_tree_mark();
  const pid_t escaped = leave(mark, {"double_fork", "bare"});
  {
    LaunchRecords records(path());
    records.begin({.service = "model", .mark = mark});
    records.launched(mark, leader);
  }
  LaunchRecords next(path());
  EXPECT_THAT(run_coroutine(io, end_left_behind(next, 10s)).value(), IsEmpty());
  EXPECT_TRUE(is_gone(escaped));
  EXPECT_THAT(next.all(), IsEmpty());
  EXPECT_THAT(LaunchRecords(path()).all(), IsEmpty()) << "also on disk";
}

TEST_F(LeftBehindTest, IsFoundByItsMarksWhereTheRecordsMakeNoSense) {
  const TemporaryFolder elsewhere;
  const std::string mark = LaunchRecords(path()).make_mark();
  const pid_t by_limits = leave(mark, {"double_fork", "bare"});
  const pid_t by_environment = leave(mark, {"double_fork"});
  const pid_t of_another = leave(LaunchRecords(elsewhere / "launches.json").make_mark(), {"double_fork"});
  std::ofstream(path()) << "{\"boot\":";
  LaunchRecords next(path());
  EXPECT_THAT(run_coroutine(io, end_left_behind(next, 10s)).value(), IsEmpty());
  EXPECT_TRUE(is_gone(by_limits));
  EXPECT_TRUE(is_gone(by_environment));
  EXPECT_TRUE(look_at_process(of_another)) << "a worker that runs in another folder may be its own";
  ::kill(of_another, SIGKILL);
  EXPECT_TRUE(is_gone(of_another));
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

TEST(LeftBehind, IsNamedAsAWhole) {
  ProcessInfo one, other;
  one.pid = 12, one.comm = "python3", one.state = 'D';
  other.pid = 13, other.comm = "sleep", other.state = 'D';
  const PostMortem made = post_mortem_of_left_behind({one, other});
  EXPECT_EQ(
      made.summary,
      "process 12 (python3, state D), 13 (sleep, state D) of a worker before this one withstands SIGKILL; "
      "the machine needs a restart");
  EXPECT_THAT(made.survivors, testing::ElementsAre("12 (python3, state D)", "13 (sleep, state D)"));
  const TemporaryFolder folder;
  keep_post_mortem(folder / "postmortem", made);
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(folder / "postmortem"), {}), 1);
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
