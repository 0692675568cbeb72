// How long a client may take. The limits of these tests lie far apart, and time passes in leaps between them,
// so that how long the test itself takes doesn't matter.
#include <sys/socket.h>

#include <stdexcept>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>

#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using asio::ip::tcp;
using std::chrono::seconds;

class ConnectionDeadlineTest : public ProxyTest {
 protected:
  ConnectionDeadlineTest() {
    setup_.connection_limits.head = seconds(1000);
    setup_.connection_limits.body = seconds(10'000);
    setup_.connection_limits.body_window = seconds(1'000'000);
    setup_.connection_limits.idle = seconds(100'000);
    setup_.relay_limits.first_byte = seconds(10'000'000);
    setup_.relay_limits.between = seconds(10'000'000);
    setup_.relay_limits.whole = seconds(10'000'000);
  }

  // Nothing happens up to the limit; past it `client` is told that it was too slow.
  void expect_too_slow_after(RawClient& client, seconds limit, std::string_view text) {
    proxy().pass_time(limit / 2);
    EXPECT_TRUE(client.is_silent());
    proxy().pass_time(limit * 2);
    RawMessage response = client.read_response();
    expect_error(response, 408, text);
    EXPECT_EQ(response.header("Connection"), "close");
    EXPECT_EQ(client.wait_for_end(), End::kEof);
    EXPECT_EQ(proxy().counted(Counter::kBadRequest408), 1u);
    expect_server_not_called();
  }
  // Nothing happens up to the limit; past it the connection is closed without a word.
  void expect_closed_after(RawClient& client, seconds limit) {
    proxy().pass_time(limit / 2);
    EXPECT_TRUE(client.is_silent());
    proxy().pass_time(limit * 2);
    EXPECT_EQ(client.wait_for_end(), End::kEof);
    EXPECT_EQ(proxy().core().connections, 0);
  }
};

TEST_F(ConnectionDeadlineTest, HalfAHeadIsA408) {
  RawClient client = connect();
  client.send("GET /health HTTP/1.1\r\nHo");
  expect_too_slow_after(client, setup_.connection_limits.head,
                        "proxy: the request's head took too long to arrive");
}

// Old clients send one behind a body. It is no request, and earns no answer.
TEST_F(ConnectionDeadlineTest, AnEmptyLineBeginsNoRequest) {
  RawClient client = connect();
  EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong");
  for (const char* line : {"\r\n", "\r\n\r\n"}) {
    client.send(line);
    proxy().settle();
    proxy().pass_time(setup_.connection_limits.head * 2);
    EXPECT_TRUE(client.is_silent());
    EXPECT_EQ(client.exchange(get_request("/ping")).body, "pong");
  }
  client.send("\r\n");
  expect_closed_after(client, setup_.connection_limits.idle);
}

TEST_F(ConnectionDeadlineTest, TheHeadsTimeIsNotProlongedByItsBytes) {
  RawClient client = connect();
  std::string head = "GET /health HTTP/1.1\r\nHost: h\r\nX: ";
  for (char c : head) {
    client.send({&c, 1});
    proxy().settle();
  }
  expect_too_slow_after(client, setup_.connection_limits.head,
                        "proxy: the request's head took too long to arrive");
}

TEST_F(ConnectionDeadlineTest, HalfABodyIsA408) {
  RawClient client = connect();
  client.send("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n\r\nhe");
  expect_too_slow_after(client, setup_.connection_limits.body,
                        "proxy: the request's body took too long to arrive");
}

// Eight uploads that stopped half-way kept everybody's bodies out for two minutes.
class BodyPaceTest : public ConnectionDeadlineTest {
 protected:
  static constexpr std::size_t kWhole = 1 << 20;

  BodyPaceTest() {
    setup_.connection_limits.body = seconds(1'000'000);
    setup_.connection_limits.body_window = seconds(1000);
    setup_.connection_limits.body_pace = 20;  // 20 000 bytes in each window
    endpoint("POST", "/open").max_body_bytes = kWhole;
  }

  RawClient upload(std::size_t already) {
    RawClient client = connect();
    client.send("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: " + std::to_string(kWhole) + "\r\n\r\n");
    send_more(client, already);
    return client;
  }
  void send_more(RawClient& client, std::size_t bytes) {
    client.send(std::string(bytes, 'b'));
    proxy().settle();
  }
  void pass_a_window() { proxy().pass_time(setup_.connection_limits.body_window * 2); }
};

TEST_F(BodyPaceTest, ALargeBodyThatStopsIsA408AndGivesItsMemoryBack) {
  RawClient client = upload(kWhole / 2);
  pass_a_window();
  EXPECT_TRUE(client.is_silent()) << "it came in this window";
  pass_a_window();
  expect_error(client.read_response(), 408, "proxy: the request's body took too long to arrive");
  EXPECT_EQ(client.wait_for_end(), End::kEof);
  proxy().settle();
  EXPECT_EQ(proxy().core().bodies.used(), 0u);
}

TEST_F(BodyPaceTest, SoIsOneThatTrickles) {
  RawClient client = upload(100'000);
  pass_a_window();
  send_more(client, 19'999);
  pass_a_window();
  EXPECT_EQ(client.read_response().status(), 408);
}

TEST_F(BodyPaceTest, OneThatKeepsThePaceIsLetGoOn) {
  RawClient client = upload(100'000);
  pass_a_window();
  for (int i = 0; i < 5; ++i) {
    send_more(client, 20'000);
    pass_a_window();
  }
  EXPECT_TRUE(client.is_silent());
}

TEST_F(BodyPaceTest, ASmallBodyMayBeAsSlowAsItsLine) {
  RawClient client = upload(BodyBuffer::kUncharged);
  for (int i = 0; i < 5; ++i) pass_a_window();
  EXPECT_TRUE(client.is_silent());
}

TEST_F(ConnectionDeadlineTest, HalfAChunkIsA408) {
  RawClient client = connect();
  client.send("POST /open HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhe");
  expect_too_slow_after(client, setup_.connection_limits.body,
                        "proxy: the request's body took too long to arrive");
}

TEST_F(ConnectionDeadlineTest, AClientThatIsAskedForItsBodyAndSendsNoneIsA408) {
  RawClient client = connect();
  client.send("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\n");
  client.read_until("\r\n\r\n");
  expect_too_slow_after(client, setup_.connection_limits.body,
                        "proxy: the request's body took too long to arrive");
}

// Two addresses that opened all connections there are, and said nothing, kept everybody out for 75 s.
TEST_F(ConnectionDeadlineTest, ANewConnectionThatSaysNothingIsSoonClosedSilently) {
  RawClient client = connect();
  expect_closed_after(client, setup_.connection_limits.head);
}

TEST_F(ConnectionDeadlineTest, AnEmptyLineDoesNotProlongThat) {
  RawClient client = connect();
  client.send("\r\n");
  expect_closed_after(client, setup_.connection_limits.head);
}

TEST_F(ConnectionDeadlineTest, OneThatHasServedMayWaitLonger) {
  Exchange call = begin(get_request("/health"));
  call.server.answer(200, "ok");
  call.client.read_response();
  expect_closed_after(call.client, setup_.connection_limits.idle);
}

TEST_F(ConnectionDeadlineTest, ARefusedClientThatGoesOnSendingIsClosedUnderIt) {
  RawClient client = connect();
  client.send("POST /nowhere HTTP/1.1\r\nHost: h\r\nContent-Length: 1000000\r\n\r\n");
  EXPECT_EQ(client.read_response().status(), 404);
  proxy().settle();
  EXPECT_EQ(proxy().core().connections, 1);
  proxy().pass_time(seconds(100));
  EXPECT_EQ(proxy().core().connections, 0);
}

TEST_F(ConnectionDeadlineTest, ARequestInFlightOutlivesTheLimitsOfReading) {
  Exchange call = begin(post_request("/open", "{}"));
  proxy().pass_time(seconds(1'000'000));
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(call.client);
  EXPECT_EQ(read_chunk(call.client), "one");
  proxy().pass_time(seconds(1'000'000));
  call.server.send(kLastChunk);
  EXPECT_EQ(read_chunk(call.client), "");
}

TEST_F(ConnectionDeadlineTest, OneConnectionsDeadlineIsNotAnothers) {
  RawClient slow = connect(), idle = connect();
  EXPECT_EQ(idle.exchange(get_request("/ping")).body, "pong");
  slow.send("GET /he");
  Exchange busy = begin(get_request("/health"));
  proxy().pass_time(setup_.connection_limits.head * 2);
  EXPECT_EQ(slow.read_response().status(), 408);
  EXPECT_EQ(idle.exchange(get_request("/ping")).body, "pong");
  busy.server.answer(200, "ok");
  EXPECT_EQ(busy.client.read_response().body, "ok");
}

// A 408 is sent to one whose bytes are still on their way.
TEST_F(ConnectionDeadlineTest, AClientThatIsTooSlowMayGoOnSendingAndReadTheAnswer) {
  setup_.connection_limits.body = seconds(1000);
  RawClient client = connect();
  client.send("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nhe");
  proxy().settle();
  proxy().pass_time(seconds(2000));
  for (int i = 0; i < 5; ++i) {
    EXPECT_TRUE(client.try_send(std::string(4096, 'b')));
    proxy().settle();
  }
  EXPECT_EQ(client.read_response().status(), 408);
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

// The deadline came between two reads of bytes that were here: there was nothing to cancel, and the rest had
// all the time.
TEST_F(ConnectionDeadlineTest, BytesThatComeWithTheDeadlineDoNotPutItOff) {
  RawClient client = connect();
  client.send("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\nhe");
  proxy().settle();
  proxy().on_each_thread([&](ProxyThread& thread) {
    client.send(std::string(20'000, 'b'));
    thread.io.poll_one();  // reads what one buffer takes, and at once the rest, whose handler waits
    thread.ticker.tick(Deadlined::Clock::now() + setup_.connection_limits.body * 2);
  });
  EXPECT_EQ(client.read_response().status(), 408);
}

// A connection without a proxy around it, whose client takes nothing more: a pair of local sockets, since
// between two of TCP the kernel may find room for a few bytes later.
class StuckClientTest : public testing::Test {
 protected:
  StuckClientTest() {
    limits_.body = seconds(1000);
    limits_.body_window = seconds(1'000'000);
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0)
      throw std::runtime_error("cannot make a pair of sockets");
    client_.assign(tcp::v4(), pair[0]);
    tcp::socket socket(io_, tcp::v4(), pair[1]);
    socket.non_blocking(true);
    boost::system::error_code full;
    while (!full) socket.write_some(asio::buffer("m", 1), full);
    connection_ =
        std::make_shared<Connection>(std::move(socket), nullptr, limits_, shares_.enter_uncounted(), ticker_);
  }

  // As far as it goes without waiting.
  void run() {
    io_.restart();
    io_.poll();
  }

  asio::io_context io_;
  tcp::socket client_{io_};
  ConnectionLimits limits_;
  MemoryBudget bodies_{0};
  ClientShares shares_{bodies_, std::nullopt};
  DeadlineTicker ticker_;
  std::shared_ptr<Connection> connection_;
};

// It held the connection for ever, and a proxy that was to end with it.
TEST_F(StuckClientTest, OneThatCannotBeAskedForItsBodyIsNotWaitedForLongerThanForTheBody) {
  std::optional<Refusal> end;
  const auto read = [&]() -> Awaitable<> {
    auto refusal = co_await connection_->read_head();
    if (!refusal) refusal = co_await connection_->read_body(1000);
    end = refusal;
  };
  client_.send(
      asio::buffer(std::string_view("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 5\r\n"
                                    "Expect: 100-continue\r\n\r\n")));
  asio::co_spawn(io_, read(), asio::detached);
  run();
  ASSERT_TRUE(connection_->has_head());
  ticker_.tick(Deadlined::Clock::now() + limits_.body / 2);
  run();
  EXPECT_FALSE(end);
  ticker_.tick(Deadlined::Clock::now() + limits_.body * 2);
  run();
  ASSERT_TRUE(end);
  EXPECT_EQ(end->status, 0) << "it wouldn't read an answer either";
}

}  // namespace
}  // namespace cppworker
