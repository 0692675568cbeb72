#include "proxy/session_requests.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <atomic>
#include <optional>
#include <string>
#include <thread>
#include <vector>
#include <boost/asio/io_context.hpp>

namespace cppworker {
namespace {

namespace asio = boost::asio;

class SessionRequestsTest : public testing::Test {
 protected:
  SessionRequests::Handle open(const std::string& id, const std::string& name) {
    return requests_.add(id, io_.get_executor(), [this, name] { aborted_.push_back(name); });
  }
  // What was posted runs now.
  std::vector<std::string> run() {
    io_.restart();
    io_.poll();
    return std::exchange(aborted_, {});
  }
  using Names = std::vector<std::string>;

  asio::io_context io_;
  SessionRequests requests_;
  Names aborted_;
};

TEST_F(SessionRequestsTest, ClosingASessionAbortsItsOpenRequestsAndNoOthers) {
  auto a = open("one", "a");
  auto b = open("one", "b");
  auto c = open("two", "c");
  EXPECT_EQ(requests_.close("one"), 2u);
  EXPECT_TRUE(aborted_.empty()) << "not on the caller's thread";
  Names told = run();
  std::sort(told.begin(), told.end());
  EXPECT_EQ(told, (Names{"a", "b"}));
  EXPECT_EQ(requests_.close("three"), 0u);
  EXPECT_EQ(run(), Names{});
}

TEST_F(SessionRequestsTest, ARequestIsAbortedOnceHoweverOftenItsSessionIsClosed) {
  auto a = open("one", "a");
  EXPECT_EQ(requests_.close("one"), 1u);
  EXPECT_EQ(requests_.close("one"), 1u);
  EXPECT_EQ(run(), Names{"a"});
  EXPECT_EQ(requests_.close("one"), 1u);
  EXPECT_EQ(run(), Names{});
}

TEST_F(SessionRequestsTest, AFinishedRequestIsNoLongerThere) {
  { auto a = open("one", "a"); }
  EXPECT_EQ(requests_.close("one"), 0u);
  EXPECT_TRUE(requests_.ids().empty());
  EXPECT_EQ(run(), Names{});
}

TEST_F(SessionRequestsTest, ARequestThatEndsBeforeItsAbortIsRunIsNotAborted) {
  auto a = std::make_optional(open("one", "a"));
  EXPECT_EQ(requests_.close("one"), 1u);
  a.reset();
  EXPECT_EQ(run(), Names{});
}

TEST_F(SessionRequestsTest, AnAbortMayEndItsOwnRequest) {
  std::optional<SessionRequests::Handle> a;
  a = requests_.add("one", io_.get_executor(), [&] {
    a.reset();
    aborted_.push_back("a");
  });
  requests_.close("one");
  EXPECT_EQ(run(), Names{"a"});
  EXPECT_EQ(requests_.close("one"), 0u);
}

TEST_F(SessionRequestsTest, TheHandleMoves) {
  SessionRequests::Handle none, kept;
  {
    auto a = open("one", "a");
    kept = std::move(a);
  }
  EXPECT_EQ(requests_.ids(), Names{"one"});
  SessionRequests::Handle moved(std::move(kept));
  kept = open("two", "b");
  EXPECT_EQ(requests_.ids(), (Names{"one", "two"}));
  kept = std::move(moved);
  EXPECT_EQ(requests_.ids(), Names{"one"});
  kept = std::move(none);
  EXPECT_TRUE(requests_.ids().empty());
}

TEST_F(SessionRequestsTest, EachSessionIsNamedOnce) {
  auto a = open("one", "a");
  auto b = open("one", "b");
  auto c = open("two", "c");
  EXPECT_EQ(requests_.ids(), (Names{"one", "two"}));
}

// Requests come and go on their own threads while others close their sessions: no abort may find its request
// gone. Run with the thread and the address sanitizer.
TEST(SessionRequestsThreads, NoAbortRunsAfterItsRequest) {
  constexpr int kRequests = 4000;
  SessionRequests requests;
  std::atomic<int> aborts{0};

  std::vector<std::thread> threads;
  std::atomic<int> running{2};
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      asio::io_context io{1};
      for (int i = 0; i < kRequests; ++i) {
        auto state = std::make_unique<int>(0);
        int* request = state.get();
        auto handle = requests.add("id" + std::to_string(i % 3), io.get_executor(), [request, &aborts] {
          EXPECT_EQ(++*request, 1);
          aborts.fetch_add(1);
        });
        // Now and then it waits for its abort; else it ends with whatever is on its way.
        if (i % 50 == 0) {
          while (*request == 0) {
            io.restart();
            io.poll();
          }
        }
      }
      running.fetch_sub(1);
      io.restart();
      io.poll();
    });
  }
  for (int t = 0; t < 2; ++t) {
    threads.emplace_back([&] {
      while (running.load() > 0)
        for (const std::string& id : requests.ids()) requests.close(id);
    });
  }
  for (std::thread& thread : threads) thread.join();
  EXPECT_GE(aborts.load(), 2 * kRequests / 50);
  EXPECT_TRUE(requests.ids().empty());
}

}  // namespace
}  // namespace cppworker
