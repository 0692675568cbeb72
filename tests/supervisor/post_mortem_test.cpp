#include "supervisor/post_mortem.hpp"

#include <gmock/gmock.h>
#include <sys/stat.h>

#include <csignal>
#include <filesystem>
#include <nlohmann/json.hpp>

#include "common/text.hpp"
#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using nlohmann::json;
using testing::ElementsAre;

PostMortem sample() {
  PostMortem made;
  made.service = "model";
  made.summary = "the model failed: the process ended: signal 9 (SIGKILL)";
  made.cause = "exit";
  made.exit = ExitStatus{.kind = ExitStatus::Kind::kSignal, .signal = SIGKILL};
  made.launch = 3;
  made.pid = 4711;
  made.ended = std::chrono::system_clock::time_point(1700000000s);
  made.ready_after_s = 90;
  made.ready_for_s = 30;
  made.ran_for_s = 120;
  made.last_lines = {"first", "Killed"};
  made.memory = {{0s, 1u << 30}, {2s, 5u << 20}};
  InFlightRequest request;
  request.request_idx = 42;
  request.work_milli = 256'000;
  request.started_unix_ms = 1'699'999'990'000;
  request.endpoint = 1;
  made.in_flight = {request};
  made.endpoints = {"GET /health", "POST /generate"};
  return made;
}

TEST(PostMortem, SaysWhatIsKnown) {
  const std::string text = encode(sample());
  EXPECT_TRUE(text.starts_with("{\n \"summary\": \"the model failed"))
      << "for whoever looks at its first lines";
  const json document = json::parse(text);
  EXPECT_EQ(document["exit"], json({{"text", "signal 9 (SIGKILL)"}, {"signal", 9}, {"core", false}}));
  EXPECT_EQ(document["ended"], "2023-11-14T22:13:20Z");
  EXPECT_EQ(document["ready_after_s"], 90.0);
  EXPECT_EQ(document["last_lines"], json({"first", "Killed"}));
  EXPECT_EQ(document["memory"][0], json({{"after_s", 0}, {"mib", 1024}}));
  EXPECT_EQ(document["requests"][0],
            json({{"request_idx", 42}, {"endpoint", "POST /generate"}, {"work", 256.0}, {"age_s", 10.0}}));
}

TEST(PostMortem, LeavesOutWhatNeverWas) {
  const json document = json::parse(encode({.service = "model", .summary = "s", .cause = "spawn"}));
  EXPECT_TRUE(document["exit"].is_null());
  EXPECT_TRUE(document["ready_after_s"].is_null());
  EXPECT_EQ(document["last_lines"], json::array());
}

TEST(PostMortem, IsBoundedWhateverTheServerPrints) {
  PostMortem large = sample();
  large.last_lines.assign(10'000, std::string(100'000, '\x01'));
  large.in_flight.assign(4096, large.in_flight[0]);
  large.endpoints = {"", std::string(10'000, '"')};
  large.survivors.assign(1000, std::string(1000, '"'));
  large.summary.assign(1 << 20, '"');
  large.memory.assign(MemoryCurve::kMostPoints, {100000s, ~std::uint64_t{0}});
  EXPECT_LT(encode(large).size(), kLargestPostMortem);
  EXPECT_EQ(json::parse(encode(large))["requests_in_flight"], 4096) << "the number is whole";
  large.last_lines = {"\xff\xfe broken"};
  EXPECT_EQ(json::parse(encode(large))["last_lines"][0], "?? broken");
}

TEST(PostMortem, IsAFileForTheWorkersUserAlone) {
  const TemporaryFolder folder;
  const auto path = write_post_mortem(folder / "postmortem", sample());
  ASSERT_TRUE(path) << path.error().message;
  EXPECT_EQ(*path, folder / "postmortem/20231114T221320Z-model-3-4711.json");
  EXPECT_EQ(read_file(*path, 1 << 20), encode(sample()));
  struct stat found {};
  ASSERT_EQ(::stat(path->c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 0777u, 0600u);
}

TEST(PostMortem, LeavesTheNewestOfMany) {
  const TemporaryFolder folder;
  PostMortem one = sample();
  std::string last;
  for (int i = 0; i < 30; ++i) {
    one.ended += 1s;
    last = write_post_mortem(folder / "postmortem", one).value();
  }
  std::vector<std::string> names;
  for (const auto& entry : std::filesystem::directory_iterator(folder / "postmortem"))
    names.push_back(entry.path().string());
  EXPECT_EQ(names.size(), kMostPostMortems);
  EXPECT_THAT(names, testing::Contains(last));
}

TEST(PostMortem, LeavesThoseOfAnotherService) {
  const TemporaryFolder folder;
  const std::string of_the_model = write_post_mortem(folder / "postmortem", sample()).value();
  PostMortem one = sample();
  one.service = "proxy";
  for (int i = 0; i < 30; ++i) {
    one.ended += 1s;
    ASSERT_TRUE(write_post_mortem(folder / "postmortem", one));
  }
  EXPECT_TRUE(std::filesystem::exists(of_the_model));
}

// A machine without a battery knows the time only after a while, or too early.
TEST(PostMortem, LeavesTheLastOneAlsoWhenTheClockWasSetBack) {
  const TemporaryFolder folder;
  PostMortem one = sample();
  for (int i = 0; i < 30; ++i) {
    one.ended -= 1h;
    const std::string last = write_post_mortem(folder / "postmortem", one).value();
    EXPECT_TRUE(std::filesystem::exists(last)) << i;
  }
}

TEST(PostMortem, HasAFileForEachOfTwoWithinASecond) {
  const TemporaryFolder folder;
  PostMortem one = sample();
  const auto first = write_post_mortem(folder / "postmortem", one);
  one.pid = 4712;  // a worker that was started again counts from the beginning
  EXPECT_NE(write_post_mortem(folder / "postmortem", one).value(), first.value());
}

TEST(PostMortem, SaysWhyItCannotBeWritten) {
  const auto path = write_post_mortem("/proc/none", sample());
  ASSERT_FALSE(path);
  EXPECT_THAT(path.error().message, testing::HasSubstr("cannot make /proc/none"));
}

TEST(MemoryCurve, KeepsThePeaksInFewPoints) {
  MemoryCurve curve;
  for (int second = 0; second < 100'000; ++second)
    curve.add(std::chrono::seconds(second), second == 31'415 ? 999 : 10);
  EXPECT_LE(curve.points().size(), MemoryCurve::kMostPoints);
  EXPECT_GT(curve.points().size(), MemoryCurve::kMostPoints / 4);
  EXPECT_GT(curve.points().back().after, 95'000s);
  EXPECT_EQ(std::count_if(curve.points().begin(), curve.points().end(),
                          [](const MemoryCurve::Point& point) { return point.bytes == 999; }),
            1);
  curve.clear();
  EXPECT_TRUE(curve.points().empty());
}

TEST(MemoryCurve, HasEachPointOfAShortLife) {
  MemoryCurve curve;
  for (int i = 0; i < 5; ++i) curve.add(std::chrono::seconds(2 * i), 100u + static_cast<unsigned>(i));
  ASSERT_EQ(curve.points().size(), 5u);
  EXPECT_EQ(curve.points()[3].after, 6s);
  EXPECT_EQ(curve.points()[3].bytes, 103u);
}

}  // namespace
}  // namespace cppworker
