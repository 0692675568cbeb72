#include "tests/proxy/proxy_fixture.hpp"

#include "tests/common/test_certificates.hpp"

namespace cppworker {

ProxyTest::ProxyTest() {
  for (const char* method : {"GET", "HEAD"})
    endpoint(method, "/health").auth = EndpointDefinition::Auth::kNone;
  for (const char* method : {"POST", "PUT"}) {
    endpoint(method, "/open").auth = EndpointDefinition::Auth::kNone;
    endpoint(method, "/open").max_body_bytes = 64 << 20;
  }
  endpoint("POST", "/generate").workload = Workload::compile("payload.work").value();
}

EndpointDefinition& ProxyTest::endpoint(const std::string& method, const std::string& path) {
  for (EndpointDefinition& known : setup_.backend.endpoints)
    if (known.method == method && known.path == path) return known;
  EndpointDefinition& made = setup_.backend.endpoints.emplace_back();
  made.method = method;
  made.path = path;
  return made;
}

RunningProxy& ProxyTest::proxy() {
  if (!proxy_) proxy_ = std::make_unique<RunningProxy>(setup_, server_.port());
  return *proxy_;
}

RawClient ProxyTest::connect() {
  RawClient client = connect_plainly();
  if (setup_.settings.tls) client.start_tls();
  return client;
}

void ProxyTest::serve_tls(const std::string& name) {
  setup_.settings.tls = true;
  setup_.tls = test_tls_context(name);
}

TlsContext test_tls_context(const std::string& name) {
  const TestKey key = make_ec_key();
  return make_tls_context(self_signed(key, {.name = name}), private_pem(key.get())).value();
}

Exchange ProxyTest::begin(std::string_view request) {
  RawClient client = connect();
  client.send(request);
  UpstreamConnectionInTest server = server_.accept();
  RawMessage received = server.read_request();
  return {std::move(client), std::move(server), std::move(received)};
}

std::size_t ProxyTest::send_until_stuck(RawSocket& sender) {
  std::string piece(1 << 20, 'p');
  std::size_t sent = 0;
  while (true) {
    std::size_t taken = sender.send_now(piece);
    if (taken == 0) {
      // The kernel's buffers are full, which may be for want of a turn of the proxy's alone.
      proxy().settle();
      taken = sender.send_now(piece);
    }
    if (taken == 0) return sent;
    sent += taken;
  }
}

void ProxyTest::expect_server_not_called() {
  proxy().settle();
  EXPECT_FALSE(server_.is_called());
}

void ProxyTest::expect_error(const RawMessage& response, int status, std::string_view text) {
  EXPECT_EQ(response.status(), status);
  EXPECT_EQ(response.header("Content-Type"), "application/json");
  EXPECT_EQ(response.body, "{\"error\":\"" + std::string(text) + "\"}");
}

SignedProxyTest::SignedProxyTest() {
  setup_.public_keys = {pem_of(test_key().get())};
  setup_.settings.own_url = Route().url;
}

Route SignedProxyTest::next_route() {
  Route route;
  route.reqnum = ++last_reqnum_;
  return route;
}

std::string SignedProxyTest::generate(const Route& route, std::string_view payload) {
  return post_request("/generate", wrapped_body(route, payload));
}

}  // namespace cppworker
