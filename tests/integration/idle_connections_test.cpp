// Ten thousand clients that keep their connections between requests: held within their budget of memory, and
// in nobody's way.
#include <gtest/gtest.h>
#include <sys/resource.h>

#include <algorithm>
#include <fstream>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "worker_harness.hpp"

namespace cppworker::testing {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using nlohmann::json;

constexpr std::size_t kConnections = 10'000;
// Those that come besides: the test's own questions.
constexpr std::size_t kOtherConnections = 100;
// The proxy keeps one for each request that can be at the inference server; the test needs far fewer.
constexpr std::size_t kOtherDescriptors = 5000;
// Asked at once: fewer than there are places for requests without a signature.
constexpr std::size_t kBatch = 10;
// What first requests make the proxy allocate for good is no connection's.
constexpr std::size_t kFirst = 100;
constexpr std::size_t kBudget = 6 * 1024;  // bytes a connection

// Of this process, and of those that it starts, as far as that is allowed.
std::size_t raise_descriptor_limit() {
  rlimit limit{};
  ::getrlimit(RLIMIT_NOFILE, &limit);
  limit.rlim_cur =
      std::max(limit.rlim_cur, std::min<rlim_t>(limit.rlim_max, kConnections + kOtherDescriptors));
  ::setrlimit(RLIMIT_NOFILE, &limit);
  ::getrlimit(RLIMIT_NOFILE, &limit);
  return limit.rlim_cur;
}

// RssAnon: the heap and the stacks, as far as they were touched.
std::size_t anonymous_bytes(pid_t pid) {
  std::ifstream status("/proc/" + std::to_string(pid) + "/status");
  for (std::string line; std::getline(status, line);)
    if (line.starts_with("RssAnon:")) return std::stoul(line.substr(line.find_first_of("0123456789"))) * 1024;
  throw std::runtime_error("the proxy is gone");
}

class Crowd {
 public:
  explicit Crowd(std::uint16_t port) : server_(asio::ip::address_v4::loopback(), port) {}
  // Without the pause that the kernel keeps a port for that was closed in order.
  ~Crowd() {
    boost::system::error_code ignored;
    for (tcp::socket& socket : sockets_) socket.set_option(asio::socket_base::linger(true, 0), ignored);
  }

  // Each has had a request answered by the inference server.
  void grow_by(std::size_t count) {
    for (std::size_t left = count; left > 0;) {
      std::size_t batch = std::min(left, kBatch);
      for (std::size_t i = 0; i < batch; ++i) sockets_.emplace_back(io_).connect(server_);
      for (std::size_t i = 0; i < batch; ++i) ask(sockets_[sockets_.size() - batch + i]);
      for (std::size_t i = 0; i < batch; ++i) hear(sockets_[sockets_.size() - batch + i]);
      left -= batch;
    }
  }
  void ask_every(std::size_t step) {
    for (std::size_t i = 0; i < sockets_.size(); i += step) {
      ask(sockets_[i]);
      hear(sockets_[i]);
    }
  }

 private:
  static void ask(tcp::socket& socket) {
    asio::write(socket, asio::buffer(std::string("GET /health HTTP/1.1\r\nHost: h\r\n\r\n")));
  }
  static void hear(tcp::socket& socket) {
    std::string answer;
    asio::read_until(socket, asio::dynamic_buffer(answer), "\r\n\r\n");
    ASSERT_TRUE(answer.starts_with("HTTP/1.1 200")) << answer;
  }

  asio::io_context io_;
  tcp::endpoint server_;
  std::vector<tcp::socket> sockets_;
};

TEST(IdleConnections, TenThousandAreHeldWithinTheirBudgetAndServed) {
  const std::size_t allowed = raise_descriptor_limit();
  if (allowed < kConnections + kOtherDescriptors)
    GTEST_SKIP() << "NOT TESTED: ten thousand connections need " << kConnections + kOtherDescriptors
                 << " descriptors, and only " << allowed << " are allowed; raise the limit (ulimit -Hn)";
  Autoscaler autoscaler;
  // All of them are one client.
  Worker worker(
      autoscaler, "tgi", {},
      {{"proxy", {{"address_share_percent", 0}, {"max_connections", kConnections + kOtherConnections}}}});
  json status = worker.wait_for_status([](const json& now) { return now["ready"] == true; });
  ASSERT_TRUE(status.is_object()) << worker.process().output();
  // The proxy hears of it an instant later.
  ASSERT_TRUE(eventually([&] { return get(worker.port(), "/health").status == 200; }));
  const pid_t proxy = status["proxy"]["pid"];

  Crowd crowd(worker.port());
  crowd.grow_by(kFirst);
  const std::size_t before = anonymous_bytes(proxy);
  crowd.grow_by(kConnections - kFirst);
  const std::size_t after = anonymous_bytes(proxy);
#if defined(NDEBUG) && !defined(__SANITIZE_ADDRESS__) && !defined(__SANITIZE_THREAD__)
  EXPECT_LT((after - before) / (kConnections - kFirst), kBudget);
#else
  // Of a build that isn't the operators'.
  EXPECT_LT((after - before) / (kConnections - kFirst), 16 * kBudget);
#endif
  crowd.ask_every(100);
  EXPECT_EQ(get(worker.port(), "/ping").body, "pong") << "somebody else";
  EXPECT_EQ(worker.status()["proxy"]["pid"], proxy) << "nothing was replaced meanwhile";
}

}  // namespace
}  // namespace cppworker::testing
