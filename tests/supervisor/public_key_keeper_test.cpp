#include "supervisor/public_key_keeper.hpp"

#include <fstream>
#include <optional>
#include <boost/asio/detached.hpp>
#include <gmock/gmock.h>

#include "tests/common/movable_clock.hpp"
#include "tests/common/test_public_keys.hpp"
#include "tests/supervisor/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

// A keeper whose key comes from the test, on a clock that the test moves.
class PublicKeyKeeperTest : public testing::Test {
 protected:
  // As at the start of a worker.
  void start() {
    keeper.emplace(
        io.get_executor(), [this] { return fetch(); }, source, file, [this] { ++changes; });
    asio::co_spawn(io, keeper->run(), [](std::exception_ptr problem) {
      if (problem) std::rethrow_exception(problem);
    });
    settle();
  }
  Awaitable<Result<std::string>> fetch() {
    ++fetches;
    co_return answer;
  }
  void settle() {
    io.restart();
    io.poll();
  }
  void skip(std::chrono::milliseconds duration) { clock.skip(io, duration); }
  void refetch() {
    keeper->refetch();
    settle();
  }
  void keep_on_disk(const std::string& text) {
    std::ofstream(file, std::ios::trunc) << "Fetched from " << source << "\n" << text;
  }
  std::string on_disk() {
    std::ifstream stream(file);
    std::string head;
    std::getline(stream, head);
    EXPECT_EQ(head, "Fetched from " + source);
    return {std::istreambuf_iterator<char>(stream), {}};
  }

  MovableClock clock;
  TemporaryFolder folder;
  std::string source = "https://autoscaler.example";
  const std::string file = folder / "public_key.pem";
  asio::io_context io;
  const std::string half_a_key = named_public_pem("first").substr(0, 200);
  const std::string endless_key = named_public_pem("first") + std::string(20'000, 'x');
  Result<std::string> answer = named_public_pem("first");
  int fetches = 0, changes = 0;
  std::optional<PublicKeyKeeper> keeper;
};

TEST_F(PublicKeyKeeperTest, FetchesTheKeyAndKeepsItOnDisk) {
  start();
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("first")));
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(keeper->last_error(), "");
  EXPECT_EQ(on_disk(), named_public_pem("first"));
}

TEST_F(PublicKeyKeeperTest, ServesWithTheKeyOfTheLastStartUntilItHasANewerOne) {
  keep_on_disk(named_public_pem("kept"));
  answer = fail("no answer from the autoscaler");
  start();
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("kept")));
  answer = named_public_pem("kept");
  skip(2s);
  EXPECT_EQ(fetches, 2) << "it may be outdated";
  EXPECT_EQ(changes, 0) << "and wasn't";
}

// Whoever names another source may do so because the key of the former one has leaked.
TEST_F(PublicKeyKeeperTest, TrustsNoKeyThatWasKeptFromAnotherSource) {
  keep_on_disk(named_public_pem("kept"));
  source = "https://autoscaler.example/v2";
  answer = fail("no answer");
  start();
  EXPECT_THAT(keeper->keys(), IsEmpty());
}

TEST_F(PublicKeyKeeperTest, TakesNoGarbageFromTheDisk) {
  for (const std::string& text : {std::string(), std::string("<html>"), half_a_key, endless_key}) {
    keep_on_disk(text);
    keeper.emplace(io.get_executor(), nullptr, source, file, nullptr);
    EXPECT_THAT(keeper->keys(), IsEmpty()) << text.substr(0, 40);
  }
}

// Nobody can be served without it, so no number of failures is enough to stop.
TEST_F(PublicKeyKeeperTest, TriesForEverAndLessOftenWithTime) {
  answer = fail("no answer from the autoscaler");
  start();
  EXPECT_EQ(fetches, 1);
  EXPECT_EQ(keeper->last_error(), "no answer from the autoscaler");
  EXPECT_THAT(keeper->keys(), IsEmpty());
  int expected = 1;
  for (const auto pause : {1s, 2s, 4s, 8s, 16s, 32s, 60s, 60s}) {
    skip(pause - 500ms);
    EXPECT_EQ(fetches, expected) << pause.count();
    skip(500ms);
    EXPECT_EQ(fetches, ++expected) << pause.count();
  }
  answer = named_public_pem("at last");
  skip(60s);
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("at last")));
  EXPECT_EQ(keeper->last_error(), "");
}

TEST_F(PublicKeyKeeperTest, IsNotHurriedWhileItRetries) {
  answer = fail("no answer");
  start();
  for (int i = 0; i < 10; ++i) refetch();
  EXPECT_EQ(fetches, 1);
}

// A key that was withdrawn would stay good for ever while only its holders come.
TEST_F(PublicKeyKeeperTest, AsksHourlyWhenNobodyMakesItAsk) {
  start();
  skip(PublicKeyKeeper::kLongestUnasked - 1s);
  EXPECT_EQ(fetches, 1);
  skip(62s);
  EXPECT_EQ(fetches, 2);
  skip(PublicKeyKeeper::kLongestUnasked - 1s);
  EXPECT_EQ(fetches, 2);
}

// A stranger's wrong signatures ask for a fetch as often as he likes.
TEST_F(PublicKeyKeeperTest, FetchesAtMostOnceAMinuteHoweverOftenItIsAsked) {
  start();
  skip(59s);
  for (int i = 0; i < 100; ++i) refetch();
  EXPECT_EQ(fetches, 1);
  skip(2s);
  EXPECT_EQ(fetches, 2) << "but it isn't forgotten";
  skip(30s);
  refetch();
  EXPECT_EQ(fetches, 2);
  skip(31s);
  EXPECT_EQ(fetches, 3);
}

TEST_F(PublicKeyKeeperTest, FetchesAtOnceWhenTheLastTimeIsLongAgo) {
  start();
  skip(1h);
  refetch();
  EXPECT_EQ(fetches, 2);
}

// Clients hold routes that the old key has signed; and the proxy, which has no clock for this, must be told.
TEST_F(PublicKeyKeeperTest, SaysWhenTheOldKeysTimeIsOver) {
  start();
  skip(61s);
  answer = named_public_pem("second");
  refetch();
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("second"), named_public_pem("first")));
  EXPECT_EQ(changes, 2);
  skip(PublicKeyKeeper::kOverlap - 1s);
  EXPECT_EQ(keeper->keys().size(), 2U);
  EXPECT_EQ(changes, 2);
  skip(1s);
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("second")));
  EXPECT_EQ(changes, 3);
}

TEST_F(PublicKeyKeeperTest, SaysSoAlsoWhileFetchesFail) {
  start();
  skip(61s);
  answer = named_public_pem("second");
  refetch();
  answer = fail("status 502");
  skip(PublicKeyKeeper::kOverlap - 10s);
  refetch();
  skip(10s);
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("second")));
  EXPECT_EQ(changes, 3);
}

class RestartInsideTheOverlap : public PublicKeyKeeperTest {
 protected:
  // A worker that has got its second key a minute ago is started again.
  void SetUp() override {
    asio::io_context former;
    PublicKeyKeeper keeper_before(
        former.get_executor(), [this] { return fetch(); }, source, file, [] {});
    asio::co_spawn(former, keeper_before.run(), asio::detached);
    former.poll();
    clock.skip(former, 61s);
    answer = named_public_pem("second");
    keeper_before.refetch();
    former.restart();
    former.poll();
    ASSERT_EQ(keeper_before.keys().size(), 2U);
  }
  // The time in the file, which is by the wall clock.
  void move_end(std::chrono::seconds from_now) {
    std::ifstream stream(file);
    std::string text{std::istreambuf_iterator<char>(stream), {}};
    const std::string before = "valid until ";
    const std::size_t begin = text.find(before) + before.size();
    const auto end = std::chrono::system_clock::now() + from_now;
    text.replace(begin, text.find('\n', begin) - begin,
                 std::to_string(std::chrono::system_clock::to_time_t(end)));
    std::ofstream(file, std::ios::trunc) << text;
  }
};

// Else every client that holds a route from before the change is refused, for being served by a worker that
// was restarted.
TEST_F(RestartInsideTheOverlap, LeavesTheOldKeyValidForItsTime) {
  start();
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("second"), named_public_pem("first")));
  skip(PublicKeyKeeper::kOverlap - 5s);
  EXPECT_EQ(keeper->keys().size(), 2U);
  skip(5s);
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("second")));
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(on_disk(), named_public_pem("second"));
}

TEST_F(RestartInsideTheOverlap, DoesNotBeginTheTimeAnew) {
  move_end(100s);
  start();
  skip(95s);
  EXPECT_EQ(keeper->keys().size(), 2U);
  skip(6s);
  EXPECT_EQ(keeper->keys().size(), 1U);
}

TEST_F(RestartInsideTheOverlap, OrLaterEndsIt) {
  move_end(-1s);
  start();
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("second")));
}

TEST_F(RestartInsideTheOverlap, WithTheClockSetBackMakesItNoLonger) {
  move_end(std::chrono::hours(1000));
  start();
  skip(PublicKeyKeeper::kOverlap);
  EXPECT_EQ(keeper->keys().size(), 1U);
}

TEST_F(PublicKeyKeeperTest, KeepsTheKeyWhenAFetchFails) {
  start();
  skip(61s);
  answer = fail("status 502");
  refetch();
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("first")));
  EXPECT_EQ(keeper->last_error(), "status 502");
  EXPECT_EQ(on_disk(), named_public_pem("first"));
}

TEST_F(PublicKeyKeeperTest, RefusesWhatIsNoKeyAndKeepsTheOneItHas) {
  start();
  int expected = 1;
  for (const std::string& text : {std::string(), std::string("<html>Bad gateway</html>"), half_a_key,
                                  endless_key, rsa_public_pem(1024)}) {
    answer = text;
    skip(61s);
    refetch();
    EXPECT_GT(fetches, expected) << text.substr(0, 40);
    expected = fetches;
    EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("first"))) << text.substr(0, 40);
    EXPECT_THAT(keeper->last_error(), HasSubstr("cannot use the public key")) << text.substr(0, 40);
  }
  EXPECT_EQ(changes, 1);
  EXPECT_EQ(on_disk(), named_public_pem("first"));
}

TEST_F(PublicKeyKeeperTest, ServesAlsoWhenTheDiskTakesNothing) {
  std::filesystem::create_directories(file + "/in the way");
  start();
  EXPECT_THAT(keeper->keys(), ElementsAre(named_public_pem("first")));
  EXPECT_EQ(changes, 1);
}

TEST(PublicKeyFile, IsReadAnewForEachFetch) {
  TemporaryFolder folder;
  asio::io_context io;
  const PublicKeyKeeper::Fetch fetch = fetch_from_file(folder / "key.pem");
  const auto missing = run_coroutine(io, fetch());
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().message,
            "cannot read the public key " + (folder / "key.pem") + ": No such file or directory");
  for (const char* name : {"first", "second"}) {
    std::ofstream(folder / "key.pem", std::ios::trunc) << named_public_pem(name);
    const auto read = run_coroutine(io, fetch());
    ASSERT_TRUE(read);
    EXPECT_EQ(*read, named_public_pem(name));
  }
}

}  // namespace
}  // namespace cppworker
