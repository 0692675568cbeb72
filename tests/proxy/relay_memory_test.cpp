// What a side that doesn't read costs the proxy: a piece, however much the other would send. The other feels
// it: the proxy stops reading what it can't pass on.
#include "tests/proxy/allocated_bytes.hpp"
#include "tests/proxy/websocket_fixture.hpp"

namespace cppworker {
namespace {

// Two sockets' buffers hold what the kernel lets them grow to, some megabytes each.
constexpr std::size_t kMostInKernel = 64 << 20;
// A piece, a buffer of the same size that the connection is read into, and what the allocator rounds up.
constexpr std::size_t kMostForOneStream = 256 * 1024;
// In one frame or chunk: more than all of them together hold.
constexpr std::size_t kEndless = 200 << 20;
constexpr std::string_view kEndlessChunk = "c800000\r\n";

class RelayMemoryTest : public ProxyTest, public testing::WithParamInterface<bool> {
 protected:
  RelayMemoryTest() {
    if (GetParam()) serve_tls();
  }
};

const auto kNames = [](const auto& tls) { return tls.param ? "UnderTls" : "Plain"; };

INSTANTIATE_TEST_SUITE_P(, RelayMemoryTest, testing::Bool(), kNames);

TEST_P(RelayMemoryTest, AnEndlessStreamToAClientThatReadsNothingIsNotBuffered) {
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send(
      "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n");
  read_raw_head(call.client);
  proxy().settle();
  std::size_t before = bytes_allocated();

  call.server.send(kEndlessChunk);
  EXPECT_LT(send_until_stuck(call.server), kMostInKernel);
  std::size_t after = bytes_allocated();
  EXPECT_LT(after, before + kMostForOneStream);
}

TEST_P(RelayMemoryTest, NorAreManyLargeAnswersOfKnownLength) {
  constexpr int kStreams = 16;
  std::vector<Exchange> calls;
  for (int i = 0; i < kStreams; ++i) {
    calls.push_back(begin(post_request("/open", "{}")));
    calls.back().server.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kEndless) + "\r\n\r\n");
    read_raw_head(calls.back().client);
  }
  proxy().settle();
  std::size_t before = bytes_allocated();
  for (Exchange& call : calls) EXPECT_LT(send_until_stuck(call.server), kMostInKernel);
  EXPECT_LT(bytes_allocated(), before + kStreams * kMostForOneStream);
}

// Before it is known whether anybody answers for them: each may be as large as the endpoint allows, all
// together take no more than they may, and what was refused is gone at once.
TEST_P(RelayMemoryTest, BodiesOfStrangersTakeNoMoreThanTheirBudget) {
  constexpr std::size_t kBody = 2 << 20, kBudget = 5 << 20;
  setup_.settings.max_buffered_bytes = kBudget;
  const std::string head =
      "POST /generate HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(kBody) + "\r\n\r\n";
  const std::string half(kBody / 2, 'x');
  std::vector<RawClient> clients;
  for (int i = 0; i < 16; ++i) clients.push_back(connect());
  proxy().settle();
  const std::size_t before = bytes_allocated();
  for (RawClient& client : clients) client.try_send(head + half);
  proxy().settle();
  const std::size_t with_bodies = bytes_allocated();
  EXPECT_LT(with_bodies, before + kBudget + 16 * kMostForOneStream);
  EXPECT_GE(proxy().counted(Counter::kBodiesFull), 8u);
  clients.clear();
  proxy().settle();
  EXPECT_LT(bytes_allocated(), before + 16 * kMostForOneStream);
}

// Its place in the memory for all bodies is the next one's, when it won't be sent again.
TEST_P(RelayMemoryTest, ABodyIsFreedWhenItsAnswerBegins) {
  constexpr std::size_t kBody = 900'000;
  setup_.settings.max_buffered_bytes = 2'000'000;
  std::vector<Exchange> streams;
  for (int i = 0; i < 3; ++i) {
    streams.push_back(begin(post_request("/open", std::string(kBody, 'b'))));
    EXPECT_EQ(streams.back().request.body.size(), kBody);
    streams.back().server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
    read_raw_head(streams.back().client);
    EXPECT_EQ(read_chunk(streams.back().client), "one");
  }
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
}

class WebSocketMemoryTest : public WebSocketTest {
 protected:
  // A message passed on each way, so that what a conversation holds is there.
  Conversation warmed_up() {
    Conversation talk = converse();
    talk.server.send(server_frame(kBinary, "there"));
    EXPECT_EQ(read_frame(talk.client).payload, "there");
    talk.client.send(client_frame(kBinary, "and back"));
    EXPECT_EQ(read_frame(talk.server).payload, "and back");
    proxy().settle();
    return talk;
  }
  // The beginning of a binary frame of that length, without its payload.
  static std::string begin_frame(std::uint64_t length, bool masked) {
    std::string header = {'\x82', static_cast<char>(masked ? 0xff : 0x7f)};
    for (int shift = 56; shift >= 0; shift -= 8) header += static_cast<char>(length >> shift);
    return masked ? header + "mask" : header;
  }
};

INSTANTIATE_TEST_SUITE_P(, WebSocketMemoryTest, testing::Bool(), kNames);

TEST_P(WebSocketMemoryTest, AnEndlessMessageToAClientThatReadsNothingIsNotBuffered) {
  Conversation talk = warmed_up();
  std::size_t before = bytes_allocated();
  talk.server.send(begin_frame(kEndless, false));
  EXPECT_LT(send_until_stuck(talk.server), kMostInKernel);
  EXPECT_LT(bytes_allocated(), before + kMostForOneStream);
}

TEST_P(WebSocketMemoryTest, NorIsOneToAServerThatReadsNothing) {
  Conversation talk = warmed_up();
  std::size_t before = bytes_allocated();
  talk.client.send(begin_frame(kEndless, true));
  EXPECT_LT(send_until_stuck(talk.client), kMostInKernel);
  EXPECT_LT(bytes_allocated(), before + kMostForOneStream);
}

// A conversation may last for hours, and its first message may be as large as any body. The budget of all
// bodies has it back by then.
TEST_P(WebSocketMemoryTest, AFirstMessageIsGoneOnceTheServerHasIt) {
  constexpr std::size_t kText = 8 << 20, kPiece = 64 << 10;
  Conversation other = warmed_up();
  const std::size_t before = bytes_allocated();

  const std::string opening = R"({"work": 3, "text": ")";
  RawClient client = upgrade();
  client.send(hello(next_route(), opening + std::string(kText, 'x') + "\"}"));
  UpstreamConnectionInTest server = accept_upgrade();
  constexpr std::size_t kFrameHead = 2 + 8 + 4;
  std::size_t left = kFrameHead + opening.size() + kText + 2;
  for (std::size_t size; left > 0; left -= size) {
    size = std::min(left, kPiece);
    server.read_exactly(size);
  }
  proxy().settle();
  EXPECT_LT(bytes_allocated(), before + 2 * kMostForOneStream) << "what the conversation itself costs";
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
  server.send(server_frame(kClose, close_payload(1000)));
  EXPECT_EQ(read_frame(client).code(), 1000u) << "it was going on";
}

}  // namespace
}  // namespace cppworker
