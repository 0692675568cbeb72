#include "tests/proxy/websocket_fixture.hpp"

#include "proxy/websocket_handshake.hpp"

namespace cppworker {
namespace {

std::string percent_encode(std::string_view text) {
  std::string out;
  for (unsigned char c : text) {
    char escaped[4];
    std::snprintf(escaped, sizeof escaped, "%%%02X", c);
    out += std::isalnum(c) != 0 ? std::string(1, static_cast<char>(c)) : escaped;
  }
  return out;
}

}  // namespace

WebSocketTest::WebSocketTest() {
  if (GetParam()) serve_tls();
  EndpointDefinition& stream = endpoint("GET", "/stream");
  stream.websocket = true;
  stream.workload = Workload::compile("num(payload.work, 5)").value();
  stream.failure_lines = {R"({"event": "failed")"};
  EndpointDefinition& open = endpoint("GET", "/open-stream");
  open.websocket = true;
  open.auth = EndpointDefinition::Auth::kNone;
}

RawClient WebSocketTest::upgrade(std::string_view target, std::string_view more) {
  RawClient client = connect();
  client.send(upgrade_request(target, more));
  RawMessage answer = read_raw_head(client);
  EXPECT_EQ(answer.status(), 101) << answer.start_line;
  EXPECT_EQ(answer.header("Sec-WebSocket-Accept"), kSampleAccept);
  return client;
}

std::string WebSocketTest::upgrade_answer(const RawMessage& handshake, std::string_view more) {
  return "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
         "Sec-WebSocket-Accept: " +
         websocket_accept(handshake.header("Sec-WebSocket-Key")) + "\r\n" + std::string(more) + "\r\n";
}

UpstreamConnectionInTest WebSocketTest::accept_upgrade(RawMessage* handshake, std::string_view more) {
  UpstreamConnectionInTest server = server_.accept();
  RawMessage asked = read_raw_head(server);
  server.send(upgrade_answer(asked, more));
  if (handshake != nullptr) *handshake = asked;
  return server;
}

Conversation WebSocketTest::converse(const Route& route) {
  RawClient client = upgrade();
  client.send(hello(route));
  RawMessage handshake;
  UpstreamConnectionInTest server = accept_upgrade(&handshake);
  WireFrame first = read_frame(server);
  return {std::move(client), std::move(server), std::move(handshake), std::move(first)};
}

Conversation WebSocketTest::open() {
  RawClient client = connect();
  client.send(upgrade_request("/open-stream"));
  RawMessage handshake;
  UpstreamConnectionInTest server = accept_upgrade(&handshake);
  EXPECT_EQ(read_raw_head(client).status(), 101);
  return {std::move(client), std::move(server), std::move(handshake), {}};
}

std::string WebSocketTest::query_of(const Route& route) {
  return "signature=" + percent_encode(signature_of(route)) + "&cost=" + route.cost +
         "&endpoint=" + route.endpoint + "&reqnum=" + std::to_string(route.reqnum) +
         "&url=" + percent_encode(route.url);
}

void WebSocketTest::expect_close(RawClient& client, unsigned code, std::string_view reason) {
  WireFrame frame = read_frame(client);
  EXPECT_EQ(frame.opcode, kClose);
  EXPECT_EQ(frame.code(), code) << frame.payload;
  EXPECT_EQ(frame.payload, close_payload(code, reason));
  EXPECT_FALSE(frame.masked);
  EXPECT_EQ(client.wait_for_end(), End::kEof);
}

void WebSocketTest::expect_booked(std::int64_t served, std::int64_t errored, std::int64_t cancelled) {
  LedgerSnapshot books = proxy().books();
  expect_books_sum_up(books);
  EXPECT_EQ(books.totals.served.requests, served);
  EXPECT_EQ(books.totals.errored.requests, errored);
  EXPECT_EQ(books.totals.cancelled.requests, cancelled);
  EXPECT_TRUE(books.in_flight.empty());
  EXPECT_EQ(proxy().core().endpoints.admissions().front().inside(), 0u);
}

}  // namespace cppworker
