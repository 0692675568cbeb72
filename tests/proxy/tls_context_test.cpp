#include "proxy/tls_context.hpp"

#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include <boost/asio/detached.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ssl/stream.hpp>
#include <boost/asio/write.hpp>

#include "tests/common/run_until.hpp"
#include "tests/common/test_certificates.hpp"

namespace cppworker {
namespace {

namespace ssl = asio::ssl;
using asio::ip::tcp;
using testing::AllOf;
using testing::HasSubstr;

struct Pair {
  std::string certificate, key;
};

Pair make_pair(const std::string& name) {
  const TestKey key = make_ec_key();
  return {self_signed(key, {.name = name}), private_pem(key.get())};
}

Pair make_pair_of_two_keys() {
  return {self_signed(make_ec_key()), private_pem(make_ec_key().get())};
}

// A client as strangers have them: any version, any ciphers, no verification.
struct Client {
  explicit Client(asio::io_context& io) : io(io) {
    // As lax as a client can be: it's the server's refusal that is tested.
    SSL_CTX_set_cipher_list(context.native_handle(), "ALL:@SECLEVEL=0");
    SSL_CTX_set_min_proto_version(context.native_handle(), TLS1_VERSION);
  }
  void speak_only(int version) {
    SSL_CTX_set_min_proto_version(context.native_handle(), version);
    SSL_CTX_set_max_proto_version(context.native_handle(), version);
  }
  SSL* raw() { return stream->native_handle(); }

  boost::system::error_code handshake() {
    return run_coroutine(io, [](Client& client) -> Awaitable<boost::system::error_code> {
      auto [error] = co_await client.stream->async_handshake(ssl::stream_base::client, kTuple);
      co_return error;
    }(*this));
  }
  boost::system::error_code connect(const tcp::endpoint& server, SSL_SESSION* session = nullptr) {
    stream.emplace(io, context);
    stream->next_layer().connect(server);
    if (session != nullptr) SSL_set_session(raw(), session);
    return handshake();
  }
  // What comes back for a byte; empty when the connection is broken.
  std::string echo_of(char byte) {
    return run_coroutine(io, [](Client& client, char sent) -> Awaitable<std::string> {
      auto [write_error, written] =
          co_await asio::async_write(*client.stream, asio::buffer(&sent, 1), kTuple);
      if (write_error) co_return write_error.message();
      char received = 0;
      auto [read_error, read] = co_await client.stream->async_read_some(asio::buffer(&received, 1), kTuple);
      if (read_error) co_return read_error.message();
      co_return std::string(1, received);
    }(*this, byte));
  }
  std::string server_name() {
    const std::shared_ptr<X509> shown(SSL_get1_peer_certificate(raw()), X509_free);
    char name[100] = "";
    if (shown)
      X509_NAME_get_text_by_NID(X509_get_subject_name(shown.get()), NID_commonName, name, sizeof name);
    return name;
  }

  asio::io_context& io;
  ssl::context context{ssl::context::tls_client};
  std::optional<ssl::stream<tcp::socket>> stream;
};

class TlsContextTest : public testing::Test {
 protected:
  // Serves that pair, echoing each connection's bytes.
  void serve(const Pair& pair) {
    auto made = make_tls_context(pair.certificate, pair.key);
    ASSERT_TRUE(made) << made.error().message;
    tls = *made;
    asio::co_spawn(io, accept(), asio::detached);
  }
  Awaitable<> accept() {
    while (true) {
      auto [error, socket] = co_await acceptor.async_accept(kTuple);
      if (error) co_return;
      asio::co_spawn(io, echo(std::move(socket), tls), asio::detached);
    }
  }
  Awaitable<> echo(tcp::socket socket, TlsContext context) {
    ssl::stream<tcp::socket> stream(std::move(socket), *context);
    auto [handshake_error] = co_await stream.async_handshake(ssl::stream_base::server, kTuple);
    if (handshake_error) co_return;
    char byte = 0;
    while (true) {
      auto [read_error, read] = co_await stream.async_read_some(asio::buffer(&byte, 1), kTuple);
      if (read_error) co_return;
      auto [write_error, written] = co_await asio::async_write(stream, asio::buffer(&byte, 1), kTuple);
      if (write_error) co_return;
    }
  }
  asio::io_context io;
  tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
  TlsContext tls;
};

class TlsVersions : public TlsContextTest, public testing::WithParamInterface<std::pair<int, const char*>> {};
INSTANTIATE_TEST_SUITE_P(, TlsVersions,
                         testing::Values(std::pair(TLS1_2_VERSION, "TLSv1.2"),
                                         std::pair(TLS1_3_VERSION, "TLSv1.3")),
                         [](const auto& one) {
                           return one.param.first == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(TlsVersions, AreServedWithHttp11) {
  serve(make_pair("worker"));
  Client client(io);
  client.speak_only(GetParam().first);
  SSL_CTX_set_alpn_protos(client.context.native_handle(),
                          reinterpret_cast<const unsigned char*>("\x02h2\x08http/1.1"), 12);
  ASSERT_FALSE(client.connect(acceptor.local_endpoint()));
  EXPECT_STREQ(SSL_get_version(client.raw()), GetParam().second);
  EXPECT_EQ(client.server_name(), "worker");
  EXPECT_EQ(client.echo_of('x'), "x");
  const unsigned char* protocol = nullptr;
  unsigned length = 0;
  SSL_get0_alpn_selected(client.raw(), &protocol, &length);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(protocol), length), "http/1.1");
}

TEST_P(TlsVersions, ResumeSessionsByTicket) {
  serve(make_pair("worker"));
  Client client(io);
  client.speak_only(GetParam().first);
  ASSERT_FALSE(client.connect(acceptor.local_endpoint()));
  EXPECT_EQ(client.echo_of('x'), "x");  // TLS 1.3 sends its tickets after the handshake
  EXPECT_FALSE(SSL_session_reused(client.raw()));
  const std::shared_ptr<SSL_SESSION> session(SSL_get1_session(client.raw()), SSL_SESSION_free);
  EXPECT_TRUE(SSL_SESSION_has_ticket(session.get()));
  // A session whose connection broke off isn't resumed.
  SSL_set_shutdown(client.raw(), SSL_SENT_SHUTDOWN | SSL_RECEIVED_SHUTDOWN);
  ASSERT_FALSE(client.connect(acceptor.local_endpoint(), session.get()));
  EXPECT_TRUE(SSL_session_reused(client.raw()));
  EXPECT_EQ(client.echo_of('y'), "y");
}

TEST_F(TlsContextTest, OlderVersionsAreRefused) {
  serve(make_pair("worker"));
  EXPECT_EQ(SSL_CTX_get_min_proto_version(tls->native_handle()), TLS1_2_VERSION);
  for (int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    Client client(io);
    client.speak_only(version);
    EXPECT_EQ(ERR_GET_REASON(client.connect(acceptor.local_endpoint()).value()),
              SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
  }
}

TEST_F(TlsContextTest, OldCiphersAreRefused) {
  serve(make_pair("worker"));
  for (const auto& [ciphers, good] :
       {std::pair("ECDHE-ECDSA-AES128-SHA:ECDHE-ECDSA-AES256-SHA384", false),
        std::pair("ECDHE-ECDSA-AES128-GCM-SHA256", true), std::pair("ECDHE-ECDSA-CHACHA20-POLY1305", true)}) {
    Client client(io);
    client.speak_only(TLS1_2_VERSION);
    ASSERT_EQ(SSL_CTX_set_cipher_list(client.context.native_handle(), ciphers), 1);
    EXPECT_EQ(!client.connect(acceptor.local_endpoint()), good) << ciphers;
  }
}

TEST_F(TlsContextTest, ClientsThatWantAnotherProtocolAreRefused) {
  serve(make_pair("worker"));
  Client client(io);
  SSL_CTX_set_alpn_protos(client.context.native_handle(), reinterpret_cast<const unsigned char*>("\x02h2"),
                          3);
  EXPECT_EQ(ERR_GET_REASON(client.connect(acceptor.local_endpoint()).value()),
            SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
  Client without(io);
  EXPECT_FALSE(without.connect(acceptor.local_endpoint())) << "those that name none speak HTTP/1.1";
}

TEST_F(TlsContextTest, RenegotiationIsRefused) {
  serve(make_pair("worker"));
  Client client(io);
  client.speak_only(TLS1_2_VERSION);
  ASSERT_FALSE(client.connect(acceptor.local_endpoint()));
  ASSERT_EQ(SSL_renegotiate(client.raw()), 1);
  EXPECT_EQ(ERR_GET_REASON(client.handshake().value()), SSL_R_NO_RENEGOTIATION);
}

TEST_F(TlsContextTest, TheWholeChainIsServed) {
  Pair pair = make_pair("worker");
  pair.certificate += make_pair("authority").certificate;
  serve(pair);
  Client client(io);
  ASSERT_FALSE(client.connect(acceptor.local_endpoint()));
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(client.raw())), 2);
}

std::string refusal_of(const std::string& certificate, const std::string& key) {
  auto made = make_tls_context(certificate, key);
  return made ? "" : made.error().message;
}

TEST(TlsContext, RefusesWhatIsNoPairAndSaysWhatHelps) {
  const TestKey key = make_ec_key();
  const std::string certificate = self_signed(key), pem = private_pem(key.get());
  EXPECT_EQ(refusal_of(certificate, pem), "");
  EXPECT_THAT(refusal_of("<html>token=hunter2</html>", pem),
              AllOf(HasSubstr("cannot use the certificate:"), HasSubstr("must be PEM"), HasSubstr("26 bytes"),
                    testing::Not(HasSubstr("hunter2"))));
  EXPECT_THAT(refusal_of("", pem), HasSubstr("cannot use the certificate:"));
  for (const std::string& unusable : {std::string("hunter2"), encrypted_pem(key.get()), std::string()})
    EXPECT_THAT(refusal_of(certificate, unusable),
                AllOf(HasSubstr("cannot use the private key:"), HasSubstr("without a passphrase"),
                      testing::Not(HasSubstr("hunter2"))));
}

TEST(TlsContext, RefusesAKeyOfAnotherCertificateOrAnotherKind) {
  const std::string certificate = self_signed(make_ec_key());
  const TestKey rsa(EVP_RSA_gen(2048), EVP_PKEY_free);
  EXPECT_THAT(refusal_of(certificate, private_pem(make_ec_key().get())), HasSubstr("for another key"));
  EXPECT_THAT(refusal_of(certificate, private_pem(rsa.get())), HasSubstr("for another key"));
  EXPECT_EQ(refusal_of(self_signed(rsa), private_pem(rsa.get())), "");
}

// OpenSSL's functions report failures through a queue of the thread's: what one leaves there, the next
// connection of that thread would be taken to have failed with.
TEST(TlsContext, LeavesNoErrorForTheThreadsConnections) {
  const TestKey key = make_ec_key();
  const std::string certificate = self_signed(key), pem = private_pem(key.get());
  for (const Pair& pair : {Pair{"nonsense", pem}, Pair{certificate, "nonsense"},
                           Pair{certificate, encrypted_pem(key.get())}, make_pair_of_two_keys(),
                           Pair{certificate + "-----BEGIN CERTIFICATE-----", pem}, Pair{certificate, pem}}) {
    ERR_clear_error();
    refusal_of(pair.certificate, pair.key);
    EXPECT_EQ(ERR_peek_error(), 0U) << ERR_error_string(ERR_peek_error(), nullptr);
  }
}

}  // namespace
}  // namespace cppworker
