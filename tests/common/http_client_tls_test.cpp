// Reports carry MASTER_TOKEN: they go to nobody who can't prove to be the autoscaler.
#include <gmock/gmock.h>
#include <stdlib.h>

#include <fstream>
#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/read_until.hpp>
#include <boost/asio/ssl.hpp>
#include <boost/asio/write.hpp>

#include "common/http_client.hpp"
#include "tests/common/run_until.hpp"
#include "tests/common/test_certificates.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
namespace ssl = asio::ssl;
using asio::ip::tcp;

// Who a server says it is.
struct Identity {
  TestKey key = make_ec_key();
  std::string certificate = self_signed(key, {.name = "localhost"});
};

class HttpClientTlsTest : public testing::Test {
 protected:
  // The client reads the store of trusted certificates once in a program's life.
  static void SetUpTestSuite() {
    folder = new TemporaryFolder;
    trusted = new Identity;
    const std::string path = *folder / "trusted.pem";
    std::ofstream(path) << trusted->certificate;
    ::setenv("SSL_CERT_FILE", path.c_str(), 1);
  }
  static void TearDownTestSuite() {
    ::unsetenv("SSL_CERT_FILE");
    delete trusted;
    delete folder;
  }

  // What becomes of a request to `host`, where a server with that identity answers.
  Result<HttpResponse> exchange_with(const Identity& identity, const std::string& host) {
    ssl::context context(ssl::context::tls_server);
    context.use_certificate(asio::buffer(identity.certificate), ssl::context::pem);
    context.use_private_key(asio::buffer(private_pem(identity.key.get())), ssl::context::pem);
    tcp::acceptor acceptor(io, {asio::ip::address_v4::loopback(), 0});
    asio::co_spawn(io, serve(acceptor, context), asio::detached);
    HttpRequest request;
    request.server.tls = true;
    request.server.host = host;
    request.server.port = acceptor.local_endpoint().port();
    request.headers = {{"Authorization", "Bearer token"}};
    auto response = run_coroutine(io, http_exchange(request, kTestLimit));
    EXPECT_TRUE(run_until(io, [&] { return served; }));
    return response;
  }

  Awaitable<> serve(tcp::acceptor& acceptor, ssl::context& context) {
    auto [ec, socket] = co_await acceptor.async_accept(kTuple);
    ssl::stream<tcp::socket> stream(std::move(socket), context);
    auto [refused] = co_await stream.async_handshake(ssl::stream_base::server, kTuple);
    if (!refused) {
      auto [end, head] =
          co_await asio::async_read_until(stream, asio::dynamic_buffer(received), "\r\n\r\n", kTuple);
      if (!end) {
        std::string answer = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
        co_await asio::async_write(stream, asio::buffer(answer), kTuple);
      }
    }
    served = true;
  }

  static inline TemporaryFolder* folder = nullptr;
  static inline Identity* trusted = nullptr;
  asio::io_context io;
  std::string received;
  bool served = false;
};

TEST_F(HttpClientTlsTest, TalksToAServerWithATrustedCertificate) {
  const auto response = exchange_with(*trusted, "localhost");
  ASSERT_TRUE(response) << response.error().message;
  EXPECT_EQ(response->body, "ok");
}

TEST_F(HttpClientTlsTest, RefusesACertificateThatNobodyVouchesFor) {
  const auto response = exchange_with(Identity{}, "localhost");
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, StartsWith("cannot make a TLS connection to localhost:"));
  EXPECT_THAT(response.error().message, HasSubstr("certificate verify failed"));
  EXPECT_EQ(received, "");
}

TEST_F(HttpClientTlsTest, RefusesATrustedCertificateOfAnotherName) {
  const auto response = exchange_with(*trusted, "127.0.0.1");
  ASSERT_FALSE(response);
  EXPECT_THAT(response.error().message, HasSubstr("certificate verify failed"));
  EXPECT_EQ(received, "");
}

}  // namespace
}  // namespace cppworker
