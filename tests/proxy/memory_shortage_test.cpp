// Memory runs out in the middle of a request, at any of its large allocations: that request fails, and
// nothing of it stays behind. A place that leaked would block a server which executes one request at a time
// for ever, and an entry in the books would be load that never goes.
#include "tests/proxy/failing_memory.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

class MemoryShortageTest : public SignedProxyTest {
 protected:
  MemoryShortageTest() { setup_.backend.max_concurrency = 1; }

  static constexpr std::size_t kLarge = 8 * 1024;

  // Sends a request with a head and a body of more than that, while the nth large allocation fails, and
  // answers it if it gets to the server. False: it was served, since there are fewer of them.
  bool fails_at(long nth) {
    std::string payload = R"({"work": 3, "text": ")" + std::string(2 * kLarge, 'x') + "\"}";
    std::string body = wrapped_body(next_route(), payload);
    RawClient client = connect();
    proxy().settle();
    proxy().on_each_thread([&](ProxyThread&) { fail_allocation(nth, kLarge); });
    client.send(post_request("/generate", body, "X-Large: " + std::string(kLarge, 'x') + "\r\n"));
    proxy().settle();
    if (server_.is_called()) {
      UpstreamConnectionInTest server = server_.accept();
      bool asked = !server.read_now().empty();
      if (asked) server.try_send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok");
      proxy().settle();
    }
    bool failed = false;
    proxy().on_each_thread([&](ProxyThread&) {
      failed = allocation_failed();
      fail_allocation(0, 0);
    });
    return failed;
  }
};

TEST_F(MemoryShortageTest, NothingStaysBehind) {
  long nth = 1;
  for (; fails_at(nth); ++nth) {
    SCOPED_TRACE(nth);
    LedgerSnapshot books = proxy().books();
    expect_books_sum_up(books);
    ASSERT_TRUE(books.in_flight.empty());
    ASSERT_EQ(proxy().core().endpoints.admissions().front().inside(), 0u);
    ASSERT_EQ(proxy().core().bodies.used(), 0u);
  }
  // Some of them are made when the request is in the books, and at the server.
  EXPECT_GE(proxy().books().totals.errored.requests, 2);
  EXPECT_EQ(proxy().books().totals.served.requests, 1);
  EXPECT_EQ(connect().exchange(get_request("/ping")).body, "pong");
}

}  // namespace
}  // namespace cppworker
