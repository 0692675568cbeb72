// An inference server that fails: before its answer the client gets a 502 or 504, after it has begun, an
// answer that looks broken. Never a clean end after half a body.
#include <boost/asio/co_spawn.hpp>

#include "proxy/relay.hpp"
#include "proxy/request_head_check.hpp"
#include "tests/proxy/proxy_fixture.hpp"

namespace cppworker {
namespace {

using std::chrono::seconds;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::string_view kUnreachable = "inference server: cannot be reached";
constexpr std::string_view kNotHttp = "inference server: its answer isn't HTTP";
constexpr std::string_view kNoAnswer = "inference server: closed the connection without an answer";

class RelayFailureTest : public ProxyTest {
 protected:
  // The client's view of an answer that begins like this, and then the connection's end.
  void expect_broken(std::string_view beginning, bool reset,
                     std::string_view request = get_request("/health")) {
    SCOPED_TRACE(visible(beginning) + (reset ? " and a reset" : " and the end"));
    Exchange call = begin(request);
    call.server.send(beginning);
    // The client has it first, so that the answer can't be refused as a whole any more.
    read_raw_head(call.client);
    reset ? call.server.reset() : call.server.close();
    std::string got = call.client.read_to_end();
    EXPECT_EQ(call.client.end(), End::kReset);
    EXPECT_THAT(got, Not(EndsWith(kLastChunk)));
  }

  // The client's view of an answer that never began.
  void expect_refused(std::string_view sent, int status, std::string_view text, bool reset = false) {
    SCOPED_TRACE(visible(sent));
    Exchange call = begin(get_request("/health"));
    call.server.send(sent);
    reset ? call.server.reset() : call.server.close();
    expect_error(call.client.read_response(), status, text);
    EXPECT_EQ(call.client.exchange(get_request("/ping")).body, "pong");
  }
};

TEST_F(RelayFailureTest, AnAnswerThatBreaksOffLooksBroken) {
  for (bool reset : {false, true}) {
    expect_broken("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", reset);
    expect_broken("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n01234", reset);
    std::string chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
    expect_broken(chunked, reset);
    expect_broken(chunked + chunk("one"), reset);
    expect_broken(chunked + chunk("one") + "3\r\ntw", reset);
    expect_broken(chunked + chunk("one") + "3\r", reset);
    expect_broken(chunked + chunk("one") + "0\r\n", reset);
  }
  expect_broken("HTTP/1.0 200 OK\r\n\r\nhalf", true);
}

TEST_F(RelayFailureTest, ItDoesSoToAnHttp10ClientForWhomTheEndIsTheBodysEnd) {
  std::string request = "GET /health HTTP/1.0\r\nHost: h\r\n\r\n";
  expect_broken("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"), false, request);
  expect_broken("HTTP/1.0 200 OK\r\n\r\nhalf", true, request);
}

TEST_F(RelayFailureTest, AChunkThatIsNoneLooksBroken) {
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(call.client);
  EXPECT_EQ(read_chunk(call.client), "one");
  call.server.send("zz\r\nwhat\r\n0\r\n\r\n");
  EXPECT_EQ(call.client.wait_for_end(), End::kReset);
}

TEST_F(RelayFailureTest, WhatCameBeforeTheBreakIsPassedOn) {
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n");
  read_raw_head(call.client);
  call.server.send("01234");
  EXPECT_EQ(call.client.read_exactly(5), "01234");
  call.server.close();
  EXPECT_EQ(call.client.wait_for_end(), End::kReset);
}

// text-generation-webui 1.7: its 200 comes before the text, and the end of the connection whatever happens.
TEST_F(RelayFailureTest, AnAnswerThatEndsBeforeItsJsonDoesLooksBroken) {
  for (std::string begun : {"", "{\"results\": [{\"text\": \"half"}) {
    Exchange call = begin("POST /open HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\n{}");
    call.server.send("HTTP/1.0 200 OK\r\nContent-Type: application/json\r\n\r\n");
    read_raw_head(call.client);
    if (!begun.empty()) {
      call.server.send(begun);
      EXPECT_EQ(read_chunk(call.client), begun);
    }
    call.server.close();
    EXPECT_EQ(call.client.wait_for_end(), End::kReset) << begun;
  }
}

TEST_F(RelayFailureTest, AnAnswerThatIsNotHttpIsA502) {
  expect_refused("SSH-2.0-OpenSSH_9.2\r\n\r\n", 502, kNotHttp);
  expect_refused("HTTP/1.1 2x0 OK\r\n\r\n", 502, kNotHttp);
  expect_refused("HTTP/1.1 200 OK\r\nContent-Length: many\r\n\r\n", 502, kNotHttp);
  expect_refused("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n", 502, kNotHttp);
}

TEST_F(RelayFailureTest, AHeadWithoutItsEndIsA502) {
  expect_refused("HTTP/1.1 200 OK\r\nContent-Type: te", 502, kNotHttp);
  expect_refused("HTTP/1.1 100 Continue\r\n\r\n", 502, kNoAnswer);
}

TEST_F(RelayFailureTest, AHeadWithoutAnyEndIsA502) {
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 200 OK\r\nX-Long: ");
  // The proxy stops reading somewhere: the rest may meet a reset.
  call.server.try_send(std::string(1 << 20, 'x'));
  expect_error(call.client.read_response(), 502, kNotHttp);
}

TEST_F(RelayFailureTest, AServerThatRefusesConnectionsIsA502) {
  server_.stop_listening();
  RawClient client = connect();
  expect_error(client.exchange(get_request("/health")), 502, kUnreachable);
  server_.listen_again();
  client.send(get_request("/health"));
  UpstreamConnectionInTest upstream = server_.accept();
  upstream.read_request();
  upstream.answer(200, "back");
  EXPECT_EQ(client.read_response().body, "back");
}

// It hangs, all of it: the kernel drops the first packet, and sends it again for minutes.
TEST_F(RelayFailureTest, AServerThatTakesNoConnectionsIsA504LongBeforeItsAnswerWouldBeDue) {
  server_.stop_accepting();
  RawClient client = connect();
  client.send(get_request("/health"));
  proxy().settle();
  EXPECT_TRUE(client.is_silent());
  ASSERT_GT(setup_.relay_limits.first_byte, seconds(60));
  proxy().pass_time(seconds(60));
  expect_error(client.read_response(), 504, "inference server: no answer in time");
}

TEST_F(RelayFailureTest, AConnectionThatEndsWithoutAnAnswerIsA502) {
  expect_refused("", 502, kNoAnswer);
  expect_refused("", 502, kNoAnswer, true);
}

TEST_F(RelayFailureTest, AServerThatIsSilentForTooLongIsA504AndIsLeft) {
  setup_.relay_limits.first_byte = seconds(1000);
  Exchange call = begin(get_request("/health"));
  proxy().pass_time(seconds(500));
  EXPECT_TRUE(call.client.is_silent());
  proxy().pass_time(seconds(2000));
  expect_error(call.client.read_response(), 504, "inference server: no answer in time");
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  EXPECT_EQ(call.client.exchange(get_request("/ping")).body, "pong");
}

TEST_F(RelayFailureTest, SilenceInsideAnAnswerHasItsOwnLimit) {
  setup_.relay_limits.first_byte = seconds(100'000);
  setup_.relay_limits.between = seconds(1000);
  setup_.relay_limits.whole = seconds(1'000'000);
  Exchange call = begin(get_request("/health"));
  proxy().pass_time(seconds(50'000));
  EXPECT_TRUE(call.client.is_silent());
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(call.client);
  EXPECT_EQ(read_chunk(call.client), "one");
  proxy().pass_time(seconds(500));
  EXPECT_TRUE(call.client.is_silent());
  proxy().pass_time(seconds(2000));
  EXPECT_EQ(call.client.wait_for_end(), End::kReset);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
}

TEST_F(RelayFailureTest, AStreamThatTricklesForTooLongIsEnded) {
  setup_.relay_limits.first_byte = seconds(100'000);
  setup_.relay_limits.between = seconds(100'000);
  setup_.relay_limits.whole = seconds(1000);
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunk("one"));
  read_raw_head(call.client);
  EXPECT_EQ(read_chunk(call.client), "one");
  proxy().pass_time(seconds(500));
  call.server.send(chunk("two"));
  EXPECT_EQ(read_chunk(call.client), "two");
  proxy().pass_time(seconds(2000));
  EXPECT_EQ(call.client.wait_for_end(), End::kReset);
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
}

TEST_F(RelayFailureTest, AClientThatStopsReadingIsGivenUp) {
  setup_.relay_limits.write = seconds(1000);
  setup_.relay_limits.between = seconds(100'000);
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 200 OK\r\nContent-Length: 1000000000\r\n\r\n");
  send_until_stuck(call.server);
  proxy().pass_time(seconds(500));
  EXPECT_TRUE(call.server.is_silent());
  proxy().pass_time(seconds(2000));
  EXPECT_NE(call.server.wait_for_end(), End::kOpen);
  call.client.read_to_end();
  EXPECT_EQ(call.client.end(), End::kReset);
}

// As of a server that refuses a body for its length.
TEST_F(RelayFailureTest, AnAnswerBeforeTheBodyWasReadArrives) {
  RawClient client = connect();
  client.send(post_request("/open", std::string(64 << 10, 'b')));
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  server.answer(413, "too large", "Connection: close\r\n");
  RawMessage response = client.read_response();
  EXPECT_EQ(response.status(), 413);
  EXPECT_EQ(response.body, "too large");
}

// A server that refuses a body early and reads no more of it: its answer is there all the while.
TEST_F(RelayFailureTest, ARefusalIsReadWhileTheBodyIsBeingSent) {
  RawClient client = connect();
  client.send(post_request("/open", std::string(32 << 20, 'b')));
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  server.answer(413, "too large");
  RawMessage response = client.read_response();
  EXPECT_EQ(response.status(), 413);
  EXPECT_EQ(response.body, "too large");
  // What it hasn't read would be its next request.
  proxy().settle();
  client.send(get_request("/health"));
  server_.accept();
}

// One that answers while it reads goes on reading.
TEST_F(RelayFailureTest, AnAnswerThatBeginsEarlyDoesNotCutTheBodyOff) {
  std::string body(32 << 20, 'b');
  RawClient client = connect();
  client.send(post_request("/open", body));
  UpstreamConnectionInTest server = server_.accept();
  read_raw_head(server);
  server.send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n");
  proxy().settle();
  EXPECT_EQ(server.read_exactly(body.size()), body);
  server.send("ok");
  EXPECT_EQ(client.read_response().body, "ok");
}

// Nothing was upgraded, so no final response will follow.
// Nothing of it may reach the server, nor may it wait there for the time that a first byte has.
TEST_F(RelayFailureTest, ARequestThatWasAbortedBeforeIsNotSent) {
  asio::io_context io{1};
  UpstreamPool pool({asio::ip::address_v4::loopback(), server_.port()});
  auto kept = pool.make(io.get_executor());
  kept->socket.connect(pool.server());
  UpstreamConnectionInTest server = server_.accept();
  pool.give_back(std::move(kept));
  asio::ip::tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
  RawClient client(acceptor.local_endpoint().port());
  ClientStream stream(acceptor.accept(), nullptr);
  struct : Deadlined {
    void on_deadline() override {}
  } deadline;
  ActiveRequest active(deadline, stream.socket());
  const RequestHead head = *read_request_head(get_request("/health"));
  const std::vector<std::string> no_lines;
  const RelayRequest request{.head = head, .body = {}, .request_id = "1", .failure_lines = no_lines};
  const RelayLimits limits;

  active.abort(AbortCause::kSessionEnded);
  std::optional<RelayResult> result;
  asio::co_spawn(io, relay(stream, pool, request, limits, active),
                 [&](std::exception_ptr, RelayResult ended) { result = ended; });
  io.poll();
  ASSERT_TRUE(result) << "it waits for an answer";
  EXPECT_EQ(result->end, RelayEnd::kAborted);
  EXPECT_TRUE(server.is_silent());
}

TEST_F(RelayFailureTest, A101ThatNobodyAskedForIsABadAnswer) {
  Exchange call = begin(get_request("/health"));
  call.server.send("HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n");
  EXPECT_EQ(call.client.read_response().status(), 502);
}

}  // namespace
}  // namespace cppworker
