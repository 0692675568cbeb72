// Streams: what has come is passed on before more comes, and no faster than the client takes it.
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

constexpr std::string_view kChunkedHead =
    "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n";

using RelayStreamTest = ProxyTest;

std::string event(int number) {
  return "data: {\"token\": " + std::to_string(number) + "}\n\n";
}

TEST_F(RelayStreamTest, EachEventArrivesBeforeTheNextIsSent) {
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send(kChunkedHead);
  EXPECT_EQ(read_raw_head(call.client).header("Content-Type"), "text/event-stream");
  for (int i = 0; i < 20; ++i) {
    call.server.send(chunk(event(i)));
    EXPECT_EQ(read_chunk(call.client), event(i));
  }
  call.server.send(kLastChunk);
  EXPECT_EQ(read_chunk(call.client), "");
}

TEST_F(RelayStreamTest, SoDoesOneOfAServerThatOnlyClosesAtTheEnd) {
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send("HTTP/1.0 200 OK\r\nContent-Type: text/event-stream\r\n\r\n");
  read_raw_head(call.client);
  for (int i = 0; i < 3; ++i) {
    call.server.send(event(i));
    EXPECT_EQ(read_chunk(call.client), event(i));
  }
  call.server.close();
  EXPECT_EQ(read_chunk(call.client), "");
}

TEST_F(RelayStreamTest, AndOneToAnHttp10Client) {
  Exchange call = begin("POST /open HTTP/1.0\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
  call.server.send(kChunkedHead);
  read_raw_head(call.client);
  for (int i = 0; i < 3; ++i) {
    call.server.send(chunk(event(i)));
    EXPECT_EQ(call.client.read_until("\n\n"), event(i));
  }
  call.server.send(kLastChunk);
  EXPECT_EQ(call.client.wait_for_end(), End::kEof);
}

TEST_F(RelayStreamTest, AnEventWithTheHeadIsNotHeldBack) {
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send(std::string(kChunkedHead) + chunk(event(1)));
  read_raw_head(call.client);
  EXPECT_EQ(read_chunk(call.client), event(1));
}

TEST_F(RelayStreamTest, APartOfALargeChunkIsNotHeldBack) {
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send(std::string(kChunkedHead) + "10\r\n01234");
  read_raw_head(call.client);
  EXPECT_EQ(read_chunk(call.client), "01234");
  call.server.send("56789abcdef\r\n");
  EXPECT_EQ(read_chunk(call.client), "56789abcdef");
}

TEST_F(RelayStreamTest, APartOfAKnownLengthIsNotHeldBack) {
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
  EXPECT_EQ(read_raw_head(call.client).header("Content-Length"), "10");
  call.server.send("01234");
  EXPECT_EQ(call.client.read_exactly(5), "01234");
  call.server.send("56789");
  EXPECT_EQ(call.client.read_exactly(5), "56789");
}

// The kernel's buffers on both ways hold some megabytes; the proxy itself, one piece.
TEST_F(RelayStreamTest, AServerIsReadNoFasterThanItsClientReads) {
  // More than the kernel's buffers between the two ends can grow to.
  constexpr std::size_t kAll = 256 << 20;
  Exchange call = begin(post_request("/open", "{}"));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: " + std::to_string(kAll) + "\r\n\r\n");
  std::size_t sent = send_until_stuck(call.server);
  EXPECT_LT(sent, kAll / 4);

  // Once the client reads, more is taken.
  std::string piece(1 << 20, 'p');
  read_raw_head(call.client);
  std::size_t got = 0;
  while (got < 2 * sent) {
    got += call.client.read_exactly(256 << 10).size();
    // Without waiting: the kernel opens a full window again when much of it was read, and not before.
    proxy().settle();
    call.server.send_now(piece);
  }
}

TEST_F(RelayStreamTest, ManyStreamsDoNotMixUp) {
  std::vector<Exchange> calls;
  for (int i = 0; i < 16; ++i) {
    calls.push_back(begin(post_request("/open", "{}")));
    calls.back().server.send(kChunkedHead);
    read_raw_head(calls.back().client);
  }
  for (int round = 0; round < 5; ++round) {
    for (int i = 0; i < 16; ++i) calls[i].server.send(chunk(event(100 * i + round)));
    for (int i = 0; i < 16; ++i) EXPECT_EQ(read_chunk(calls[i].client), event(100 * i + round));
  }
}

}  // namespace
}  // namespace cppworker
