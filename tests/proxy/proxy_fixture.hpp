// A client, the proxy and an inference server, all three in the test's hand:
//
//   Exchange call = begin(get_request("/health"));   // the request is with the server now
//   call.server.answer(200, "ok");
//   EXPECT_EQ(call.client.read_response().body, "ok");
//
// Change setup_ first where a test needs other limits; the proxy starts when it is first needed.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <memory>
#include <string>
#include <string_view>

#include "tests/proxy/raw_client.hpp"
#include "tests/proxy/running_proxy.hpp"
#include "tests/proxy/scripted_server.hpp"
#include "tests/proxy/signed_body.hpp"

namespace cppworker {

// A client's request that the server has read, and both connections.
struct Exchange {
  RawClient client;
  UpstreamConnectionInTest server;
  RawMessage request;  // as the server got it
};

// With a certificate of that name, signed by itself.
TlsContext test_tls_context(const std::string& name);

class ProxyTest : public testing::Test {
 protected:
  using End = RawSocket::End;

  // Serves GET and HEAD /health, POST and PUT /open without signatures, POST /generate with one, whose work
  // is `payload.work`.
  ProxyTest();

  // The endpoint of the setup, made if it isn't there.
  EndpointDefinition& endpoint(const std::string& method, const std::string& path);

  RunningProxy& proxy();
  // A client's connection; past the handshake, where the proxy serves TLS.
  RawClient connect();
  // One that hasn't sent a byte.
  RawClient connect_plainly() { return RawClient(proxy().port()); }
  // Has the proxy serve TLS with a certificate of that name. Before it starts.
  void serve_tls(const std::string& name = "worker");

  // Sends the request on a new connection, over which the proxy calls the server anew.
  Exchange begin(std::string_view request);

  // Sends until the proxy reads no more, because the side that it is for doesn't: how many bytes that took.
  std::size_t send_until_stuck(RawSocket& sender);

  // Nothing was asked of the server since it last accepted a connection.
  void expect_server_not_called();
  // The proxy's own answer, in its format.
  static void expect_error(const RawMessage& response, int status, std::string_view text);

  ScriptedServer server_;
  ProxySetup setup_;

 private:
  std::unique_ptr<RunningProxy> proxy_;
};

// The same with the test's key known, for POST /generate.
class SignedProxyTest : public ProxyTest {
 protected:
  SignedProxyTest();

  // A route to this worker, with a reqnum that none had before.
  Route next_route();
  // POST /generate with a full signature.
  std::string generate(const Route& route, std::string_view payload = R"({"work": 3})");
  std::string generate(std::string_view payload = R"({"work": 3})") {
    return generate(next_route(), payload);
  }

 private:
  std::uint64_t last_reqnum_ = 0;
};

}  // namespace cppworker
