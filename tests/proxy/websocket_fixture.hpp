// A WebSocket through the proxy, with its client and its inference server in the test's hand. Every test runs
// with a plain client and with one under TLS.
#pragma once

#include <string>
#include <string_view>

#include "tests/proxy/proxy_fixture.hpp"
#include "tests/proxy/websocket_wire.hpp"

namespace cppworker {

// A conversation that goes on: both handshakes are over, and the first message has arrived.
struct Conversation {
  RawClient client;
  UpstreamConnectionInTest server;
  RawMessage handshake;  // as the server got it
  WireFrame first;       // the same; empty for open()
};

class WebSocketTest : public SignedProxyTest, public testing::WithParamInterface<bool> {
 protected:
  // Serves GET /stream, whose work is `payload.work`, with failure lines, and GET /open-stream without
  // signatures.
  WebSocketTest();

  // A client past the proxy's 101, which comes before anything of the server's.
  RawClient upgrade(std::string_view target = "/stream", std::string_view more = {});
  // A first message that says who asks.
  std::string hello(const Route& route, std::string_view payload = R"({"work": 3})") {
    return client_frame(kText, wrapped_body(route, payload));
  }
  std::string hello() { return hello(next_route()); }
  // The server's part of its handshake.
  UpstreamConnectionInTest accept_upgrade(RawMessage* handshake = nullptr, std::string_view more = {});
  static std::string upgrade_answer(const RawMessage& handshake, std::string_view more = {});

  Conversation converse() { return converse(next_route()); }
  Conversation converse(const Route& route);
  // The same for the endpoint that asks for no signature.
  Conversation open();
  // The auth fields of a route, for a query.
  static std::string query_of(const Route& route);

  // The proxy's or the server's close frame, and then the end of the connection.
  static void expect_close(RawClient& client, unsigned code, std::string_view reason);
  void expect_booked(std::int64_t served, std::int64_t errored, std::int64_t cancelled);
};

}  // namespace cppworker
