// A thousand streams at once, as a server with continuous batching has them: each gets all of its own events
// in their order, whether its client keeps up or not, all are in the books, and none costs more with time.
#include <sys/resource.h>

#include <stdexcept>

#include "tests/proxy/allocated_bytes.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

constexpr int kStreams = 1000;
constexpr int kRounds = 12;
// Both ends of two connections for each stream, and what a process has otherwise.
constexpr rlim_t kDescriptors = 4 * kStreams + 200;
// What the allocator makes of the same state at two times, a stream; one event is larger.
constexpr std::size_t kMostGrowth = 256;

void allow_descriptors() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  if (limit.rlim_cur >= kDescriptors) return;
  limit.rlim_cur = kDescriptors;
  if (::setrlimit(RLIMIT_NOFILE, &limit) != 0)
    throw std::runtime_error("cannot raise the limit of descriptors to " + std::to_string(kDescriptors));
}

// Says whose it is and which; of a size of its own, so that events that change places are no event of
// anybody.
std::string event(int stream, int number) {
  return "data: {\"stream\": " + std::to_string(stream) + ", \"event\": " + std::to_string(number) +
         ", \"text\": \"" + std::string(300 + (stream * 7 + number * 31) % 200, 't') + "\"}\n\n";
}

class RelayCrowdTest : public SignedProxyTest, public testing::WithParamInterface<bool> {
 protected:
  RelayCrowdTest() {
    allow_descriptors();
    setup_.settings.threads = 2;
    if (GetParam()) serve_tls();
  }

  // Every third client reads nothing before the end.
  static bool keeps_up(int stream) { return stream % 3 != 0; }

  void open_all() {
    for (int i = 0; i < kStreams; ++i) {
      calls_.push_back(begin(generate()));
      calls_.back().server.send(
          "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
      read_raw_head(calls_.back().client);
    }
  }
  // An event for each, all before the first is read.
  void play(int number) {
    for (int i = 0; i < kStreams; ++i) calls_[i].server.send(chunk(event(i, number)));
    for (int i = 0; i < kStreams; ++i)
      if (keeps_up(i)) expect_event(i, number);
  }
  void expect_event(int stream, int number) {
    ASSERT_EQ(read_event(stream), event(stream, number)) << "stream " << stream << ", event " << number;
  }
  // Several events may have become one chunk of the proxy's, where they came at once.
  std::string read_event(int stream) {
    std::string& rest = rests_[stream];
    std::size_t end;
    while ((end = rest.find("\n\n")) == std::string::npos) {
      std::string more = read_chunk(calls_[stream].client);
      if (more.empty()) return rest;
      rest += more;
    }
    std::string one = rest.substr(0, end + 2);
    rest.erase(0, end + 2);
    return one;
  }

  std::vector<Exchange> calls_;
  std::vector<std::string> rests_ = std::vector<std::string>(kStreams);
};

TEST_P(RelayCrowdTest, EachGetsItsOwnEventsInOrderAndCostsNoMoreWithTime) {
  open_all();
  LedgerSnapshot books = proxy().books();
  EXPECT_EQ(books.in_flight.size(), std::size_t{kStreams});
  play(0);
  play(1);
  proxy().settle();
  std::size_t before = bytes_allocated();
  for (int number = 2; number < kRounds; ++number) play(number);
  proxy().settle();
  EXPECT_LT(bytes_allocated(), before + kStreams * kMostGrowth);

  for (int i = 0; i < kStreams; ++i) {
    calls_[i].server.send(kLastChunk);
    for (int number = 0; number < kRounds && !keeps_up(i); ++number) expect_event(i, number);
    ASSERT_EQ(read_event(i), "") << "stream " << i << " ends with its last event";
  }
  books = proxy().books();
  expect_books_sum_up(books);
  EXPECT_EQ(books.totals.served, (Amount{kStreams * 3000, kStreams}));
  EXPECT_TRUE(books.in_flight.empty());
}

INSTANTIATE_TEST_SUITE_P(, RelayCrowdTest, testing::Bool(),
                         [](const auto& tls) { return tls.param ? "UnderTls" : "Plain"; });

}  // namespace
}  // namespace cppworker
