// What a client that doesn't read costs the proxy: a piece, however much the server would send.
#include <malloc.h>

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

// Of this process, which is the proxy's. What the test itself holds is there before and after.
std::size_t bytes_allocated() {
  struct mallinfo2 info = ::mallinfo2();
  return info.uordblks + info.hblkhd;
}

// Two sockets' buffers hold what the kernel lets them grow to, some megabytes each.
constexpr std::size_t kMostInKernel = 64 << 20;
// A piece, a buffer of the same size that the connection is read into, and what the allocator rounds up.
constexpr std::size_t kMostForOneStream = 256 * 1024;

using RelayMemoryTest = ProxyTest;

TEST_F(RelayMemoryTest, AnEndlessStreamToAClientThatReadsNothingIsNotBuffered) {
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  read_raw_head(call.client);
  proxy().settle();
  std::size_t before = bytes_allocated();

  call.server.send("c800000\r\n");  // a chunk of 200 MiB
  EXPECT_LT(send_until_stuck(call.server), kMostInKernel);
  std::size_t after = bytes_allocated();
  EXPECT_LT(after, before + kMostForOneStream);
}

TEST_F(RelayMemoryTest, NorAreManyLargeAnswersOfKnownLength) {
  constexpr int kStreams = 16;
  std::vector<Exchange> calls;
  for (int i = 0; i < kStreams; ++i) {
    calls.push_back(begin(post_request("/open", "{}")));
    calls.back().server.send("HTTP/1.1 200 OK\r\nContent-Length: 209715200\r\n\r\n");
    read_raw_head(calls.back().client);
  }
  proxy().settle();
  std::size_t before = bytes_allocated();
  for (Exchange& call : calls) EXPECT_LT(send_until_stuck(call.server), kMostInKernel);
  EXPECT_LT(bytes_allocated(), before + kStreams * kMostForOneStream);
}

}  // namespace
}  // namespace cppworker
