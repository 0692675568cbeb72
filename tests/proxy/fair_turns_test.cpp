#include "proxy/fair_turns.hpp"

#include <gmock/gmock.h>

#include <string>
#include <vector>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>

namespace cppworker {
namespace {

using testing::ElementsAre;

struct FairTurnsTest : testing::Test {
  // Has its turn until the test calls leave().
  void come(char client, const std::string& name) {
    asio::co_spawn(
        io,
        [](FairTurnsTest& test, char client, std::string name) -> Awaitable<> {
          co_await test.turns.wait(&test.clients[static_cast<unsigned char>(client)]);
          test.had.push_back(name);
        }(*this, client, name),
        asio::detached);
    run();
  }
  void leave() {
    turns.leave();
    run();
  }
  void run() {
    io.restart();
    io.poll();
  }

  asio::io_context io;
  FairTurns turns{io.get_executor()};
  char clients[256] = {};
  std::vector<std::string> had;
};

TEST_F(FairTurnsTest, OneAtATime) {
  come('a', "a1");
  come('b', "b1");
  EXPECT_THAT(had, ElementsAre("a1"));
  leave();
  EXPECT_THAT(had, ElementsAre("a1", "b1"));
  leave();
  come('c', "c1");
  EXPECT_THAT(had, ElementsAre("a1", "b1", "c1")) << "nobody had the turn";
}

TEST_F(FairTurnsTest, WhoQueuesUpManyKeepsAnotherWaitingForOne) {
  for (int i = 1; i <= 4; ++i) come('a', "a" + std::to_string(i));
  come('b', "b1");
  come('b', "b2");
  come('c', "c1");
  for (int i = 0; i < 7; ++i) leave();
  EXPECT_THAT(had, ElementsAre("a1", "b1", "c1", "a2", "b2", "a3", "a4"));
}

TEST_F(FairTurnsTest, EndsWithSomebodyWaiting) {
  come('a', "a1");
  come('a', "a2");
  come('b', "b1");
  EXPECT_THAT(had, ElementsAre("a1"));
}

}  // namespace
}  // namespace cppworker
