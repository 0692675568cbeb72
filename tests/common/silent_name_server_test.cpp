// A name server that doesn't answer: the autoscaler can't be reached, and nothing else may notice. Before,
// every look-up, even that of 127.0.0.1, waited behind it, and with it the model's health probes and the
// worker's end.
#include <gmock/gmock.h>

#include <atomic>
#include <future>
#include <memory>
#include <vector>

#include "common/http_client.hpp"
#include "tests/common/movable_clock.hpp"
#include "tests/common/raw_server.hpp"
#include "tests/common/run_until.hpp"

namespace cppworker {
namespace {

using namespace std::chrono_literals;
using testing::HasSubstr;

// Doesn't answer before the test lets it. Waits at its end for the threads that wait for it: their places are
// the process's, and the next test's to take.
class SilentNames {
 public:
  ~SilentNames() {
    speak();
    std::future<void> gone = gone_->get_future();
    state_.reset();
    gone.wait();
  }

  NameService service() {
    return [state = state_](const std::string&) -> Result<Addresses> {
      ++state->asked;
      state->spoken.wait();
      return Addresses{asio::ip::address_v4::loopback()};
    };
  }
  void speak() {
    if (!std::exchange(spoke_, true)) promise_.set_value();
  }
  int asked() const { return state_->asked; }

 private:
  // Each thread holds it, and lets it go when it has given its place back.
  struct State {
    ~State() { gone->set_value(); }

    std::shared_future<void> spoken;
    std::shared_ptr<std::promise<void>> gone;
    std::atomic<int> asked = 0;
  };

  std::promise<void> promise_;
  bool spoke_ = false;
  std::shared_ptr<std::promise<void>> gone_ = std::make_shared<std::promise<void>>();
  std::shared_ptr<State> state_ = std::make_shared<State>(promise_.get_future().share(), gone_);
};

class SilentNameServerTest : public testing::Test {
 protected:
  using Answer = std::optional<Result<HttpResponse>>;

  // An exchange that is under way until the answer is there.
  std::shared_ptr<Answer> begin(Url server, std::chrono::milliseconds limit) {
    auto answer = std::make_shared<Answer>();
    HttpRequest request;
    request.server = std::move(server);
    asio::co_spawn(io, http_exchange(std::move(request), limit, 1024, names.service()),
                   [answer](std::exception_ptr problem, Result<HttpResponse> made) {
                     EXPECT_FALSE(problem);
                     *answer = std::move(made);
                   });
    return answer;
  }
  std::shared_ptr<Answer> begin_by_name(std::chrono::milliseconds limit) {
    Url server;
    server.host = "run.example.test";
    server.port = 80;
    return begin(server, limit);
  }
  void settle() {
    io.restart();
    io.poll();
  }

  MovableClock clock;
  SilentNames names;
  asio::io_context io;
};

TEST_F(SilentNameServerTest, IsGivenUpAtTheLimit) {
  auto answer = begin_by_name(5s);
  ASSERT_TRUE(run_until(io, [&] { return names.asked() == 1; }));
  clock.skip(io, 4s);
  EXPECT_FALSE(*answer);
  clock.skip(io, 2s);
  ASSERT_TRUE(run_until(io, [&] { return answer->has_value(); }));
  ASSERT_FALSE(**answer);
  EXPECT_EQ((*answer)->error().message, "no answer from run.example.test:80 within 5000 ms");
}

TEST_F(SilentNameServerTest, HoldsUpNobodyWhoHasTheAddress) {
  auto waiting = begin_by_name(1h);
  ASSERT_TRUE(run_until(io, [&] { return names.asked() == 1; }));
  const RawServer server(io, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  for (const char* host : {"127.0.0.1", "localhost"}) {
    Url url = server.url();
    url.host = host;
    auto answer = begin(url, kTestLimit);
    ASSERT_TRUE(run_until(io, [&] { return answer->has_value(); }));
    EXPECT_TRUE(**answer) << host << ": " << (*answer)->error().message;
  }
  EXPECT_EQ(names.asked(), 1) << "and these weren't asked for";
  EXPECT_FALSE(*waiting);
}

TEST_F(SilentNameServerTest, HoldsUpNoOtherName) {
  auto waiting = begin_by_name(1h);
  ASSERT_TRUE(run_until(io, [&] { return names.asked() == 1; }));
  NameService quick = [](const std::string&) -> Result<Addresses> {
    return Addresses{asio::ip::address_v4::loopback()};
  };
  EXPECT_TRUE(run_coroutine(io, look_up("other.example.test", quick)));
}

// Else each try of each report would leave one more thread behind.
TEST_F(SilentNameServerTest, HoldsSoManyThreadsAndNoMore) {
  for (int i = 0; i < kMostLookups; ++i) begin_by_name(1s);
  ASSERT_TRUE(run_until(io, [&] { return names.asked() == kMostLookups; }));
  clock.skip(io, 2s);
  auto refused = begin_by_name(1h);
  ASSERT_TRUE(run_until(io, [&] { return refused->has_value(); }));
  ASSERT_FALSE(**refused);
  EXPECT_THAT((*refused)->error().message, HasSubstr("cannot look up run.example.test: the name server"));
  EXPECT_EQ(names.asked(), kMostLookups);

  names.speak();
  auto asked = [&] {
    auto found = run_coroutine(io, look_up("run.example.test", names.service()));
    return found.has_value();
  };
  EXPECT_TRUE(run_until(io, asked)) << "the places are free again";
}

TEST_F(SilentNameServerTest, HoldsUpNobodysEnd) {
  std::optional<asio::io_context> ending(std::in_place);
  NameService service = names.service();
  asio::co_spawn(*ending, look_up("run.example.test", service),
                 [](std::exception_ptr, Result<Addresses>) { ADD_FAILURE() << "nobody is there to hear"; });
  ASSERT_TRUE(run_until(*ending, [&] { return names.asked() == 1; }));
  ending.reset();
  names.speak();
}

TEST_F(SilentNameServerTest, IsHeardWhenItSpeaksAfterAll) {
  const RawServer server(io, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n");
  Url url = server.url();
  url.host = "run.example.test";
  auto answer = begin(url, kTestLimit);
  ASSERT_TRUE(run_until(io, [&] { return names.asked() == 1; }));
  names.speak();
  ASSERT_TRUE(run_until(io, [&] { return answer->has_value(); }));
  EXPECT_TRUE(**answer);
  EXPECT_THAT(server.received(), HasSubstr("\r\nHost: run.example.test:"));
}

// Numbers: what needs no name server, so that the test needs none.
TEST(SystemNames, AnswersWithTheAddresses) {
  for (const char* host : {"127.0.0.1", "::1", "203.0.113.9"}) {
    auto found = system_names(host);
    ASSERT_TRUE(found) << found.error().message;
    ASSERT_EQ(found->size(), 1u);
    EXPECT_EQ(found->front().to_string(), host);
  }
}

}  // namespace
}  // namespace cppworker
