#include "proxy/tls_context.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <openssl/ssl.h>
#include <sys/stat.h>

#include <atomic>
#include <fstream>
#include <thread>
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
  void put(const Pair& pair) {
    put_file(certificate_file, pair.certificate);
    put_file(key_file, pair.key);
  }
  static void put_file(const std::string& path, const std::string& content) {
    std::ofstream(path) << content;
  }
  // So long ago that nothing can happen to the file without its showing.
  static void set_time(const std::string& path, std::time_t seconds) {
    const timespec times[2] = {{seconds, 0}, {seconds, 0}};
    ASSERT_EQ(::utimensat(AT_FDCWD, path.c_str(), times, 0), 0);
  }

  // Serves what lies at the paths, echoing each connection's bytes.
  void serve() {
    auto loaded = ServerTls::load(certificate_file, key_file);
    ASSERT_TRUE(loaded) << loaded.error().message;
    tls = std::move(*loaded);
    asio::co_spawn(io, accept(), asio::detached);
  }
  Awaitable<> accept() {
    while (true) {
      auto [error, socket] = co_await acceptor.async_accept(kTuple);
      if (error) co_return;
      asio::co_spawn(io, echo(std::move(socket), tls->current()), asio::detached);
    }
  }
  Awaitable<> echo(tcp::socket socket, std::shared_ptr<ssl::context> context) {
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
  std::string problem() {
    auto looked = tls->reload_if_changed();
    return looked ? "" : looked.error().message;
  }
  std::string name_shown_to_a_new_client() {
    Client client(io);
    const auto error = client.connect(acceptor.local_endpoint());
    return error ? error.message() : client.server_name();
  }

  const TemporaryFolder folder;
  const std::string certificate_file = folder / "instance.crt", key_file = folder / "instance.key";
  asio::io_context io;
  tcp::acceptor acceptor{io, {asio::ip::address_v4::loopback(), 0}};
  std::unique_ptr<ServerTls> tls;
};

class TlsVersions : public TlsContextTest, public testing::WithParamInterface<std::pair<int, const char*>> {};
INSTANTIATE_TEST_SUITE_P(, TlsVersions,
                         testing::Values(std::pair(TLS1_2_VERSION, "TLSv1.2"),
                                         std::pair(TLS1_3_VERSION, "TLSv1.3")),
                         [](const auto& one) {
                           return one.param.first == TLS1_2_VERSION ? "Tls12" : "Tls13";
                         });

TEST_P(TlsVersions, AreServedWithHttp11) {
  put(make_pair("worker"));
  serve();
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
  put(make_pair("worker"));
  serve();
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
  put(make_pair("worker"));
  serve();
  EXPECT_EQ(SSL_CTX_get_min_proto_version(tls->current()->native_handle()), TLS1_2_VERSION);
  for (int version : {TLS1_VERSION, TLS1_1_VERSION}) {
    Client client(io);
    client.speak_only(version);
    EXPECT_EQ(ERR_GET_REASON(client.connect(acceptor.local_endpoint()).value()),
              SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
  }
}

TEST_F(TlsContextTest, OldCiphersAreRefused) {
  put(make_pair("worker"));
  serve();
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
  put(make_pair("worker"));
  serve();
  Client client(io);
  SSL_CTX_set_alpn_protos(client.context.native_handle(), reinterpret_cast<const unsigned char*>("\x02h2"),
                          3);
  EXPECT_EQ(ERR_GET_REASON(client.connect(acceptor.local_endpoint()).value()),
            SSL_R_TLSV1_ALERT_NO_APPLICATION_PROTOCOL);
  Client without(io);
  EXPECT_FALSE(without.connect(acceptor.local_endpoint())) << "those that name none speak HTTP/1.1";
}

TEST_F(TlsContextTest, RenegotiationIsRefused) {
  put(make_pair("worker"));
  serve();
  Client client(io);
  client.speak_only(TLS1_2_VERSION);
  ASSERT_FALSE(client.connect(acceptor.local_endpoint()));
  ASSERT_EQ(SSL_renegotiate(client.raw()), 1);
  EXPECT_EQ(ERR_GET_REASON(client.handshake().value()), SSL_R_NO_RENEGOTIATION);
}

TEST_F(TlsContextTest, TheWholeChainIsServed) {
  Pair pair = make_pair("worker");
  pair.certificate += make_pair("authority").certificate;
  put(pair);
  serve();
  Client client(io);
  ASSERT_FALSE(client.connect(acceptor.local_endpoint()));
  EXPECT_EQ(sk_X509_num(SSL_get_peer_cert_chain(client.raw())), 2);
}

TEST_F(TlsContextTest, ANewCertificateReachesNewConnectionsAndEndsNoOldOne) {
  put(make_pair("old"));
  serve();
  Client old(io);
  ASSERT_FALSE(old.connect(acceptor.local_endpoint()));
  EXPECT_EQ(old.echo_of('a'), "a");
  const std::weak_ptr<ssl::context> old_context = tls->current();

  put(make_pair("new"));
  EXPECT_TRUE(tls->reload_if_changed().value());
  EXPECT_EQ(old.echo_of('b'), "b");
  EXPECT_EQ(name_shown_to_a_new_client(), "new");
  EXPECT_EQ(old.echo_of('c'), "c");
  EXPECT_FALSE(old_context.expired());

  old.stream.reset();
  EXPECT_TRUE(run_until(io, [&] { return old_context.expired(); })) << "gone with its last connection";
}

TEST_F(TlsContextTest, AHalfWrittenPairIsLoadedOnceItIsWhole) {
  put(make_pair("old"));
  serve();
  const auto context = tls->current();
  const Pair next = make_pair("new");
  put_file(certificate_file, next.certificate);
  EXPECT_THAT(problem(), AllOf(HasSubstr(certificate_file), HasSubstr(key_file), HasSubstr("for another key"),
                               HasSubstr("loaded before stays in use")));
  EXPECT_THAT(problem(), HasSubstr("for another key")) << "as long as it is so";
  EXPECT_EQ(tls->current(), context);
  EXPECT_EQ(name_shown_to_a_new_client(), "old");
  put_file(key_file, next.key);
  EXPECT_TRUE(tls->reload_if_changed().value());
  EXPECT_EQ(name_shown_to_a_new_client(), "new");
}

TEST_F(TlsContextTest, APairThatWasPutBackIsNoChange) {
  const Pair pair = make_pair("old");
  put(pair);
  serve();
  put_file(certificate_file, "");
  EXPECT_THAT(problem(), HasSubstr("cannot use the certificate " + certificate_file));
  put_file(certificate_file, pair.certificate);
  EXPECT_FALSE(tls->reload_if_changed().value());
}

TEST_F(TlsContextTest, AKeyOfAnotherKindDoesNotFitEither) {
  put(make_pair("old"));
  serve();
  const TestKey rsa(EVP_RSA_gen(2048), EVP_PKEY_free);
  put_file(key_file, private_pem(rsa.get()));
  EXPECT_THAT(problem(), HasSubstr("for another key"));
  put_file(certificate_file, self_signed(rsa, {.name = "rsa"}));
  EXPECT_TRUE(tls->reload_if_changed().value());
  EXPECT_EQ(name_shown_to_a_new_client(), "rsa");
}

TEST_F(TlsContextTest, WhatIsUnusableSaysWhichFileAndWhatHelps) {
  EXPECT_THAT(ServerTls::load(certificate_file, key_file).error().message,
              AllOf(HasSubstr("cannot read the certificate " + certificate_file), HasSubstr("No such file")));
  const TestKey key = make_ec_key();
  put_file(certificate_file, "<html>token=hunter2</html>");
  EXPECT_THAT(ServerTls::load(certificate_file, key_file).error().message,
              HasSubstr("cannot read the private key " + key_file));
  put_file(key_file, "nonsense");
  EXPECT_THAT(ServerTls::load(certificate_file, key_file).error().message,
              AllOf(HasSubstr("cannot use the certificate " + certificate_file), HasSubstr("must hold PEM"),
                    HasSubstr("26 bytes"), testing::Not(HasSubstr("hunter2"))));
  put_file(certificate_file, self_signed(key));
  for (const std::string& unusable : {std::string("nonsense"), encrypted_pem(key.get()), std::string()}) {
    put_file(key_file, unusable);
    EXPECT_THAT(
        ServerTls::load(certificate_file, key_file).error().message,
        AllOf(HasSubstr("cannot use the private key " + key_file), HasSubstr("without a passphrase")));
  }
  put_file(certificate_file, std::string(300 * 1024, 'x'));
  EXPECT_THAT(ServerTls::load(certificate_file, key_file).error().message, HasSubstr("longer than 256 KiB"));
}

TEST_F(TlsContextTest, AChangeOfEitherFileIsSeen) {
  put(make_pair("old"));
  set_time(certificate_file, 1'000'000'000);
  set_time(key_file, 1'000'000'000);
  serve();
  const Pair other = make_pair("other");
  put_file(key_file, other.key);
  EXPECT_THAT(problem(), HasSubstr("for another key"));
  put_file(certificate_file, other.certificate);
  EXPECT_TRUE(tls->reload_if_changed().value());
  set_time(certificate_file, 1'000'000'000);
  set_time(key_file, 1'000'000'000);
  EXPECT_FALSE(tls->reload_if_changed().value());
  put_file(certificate_file, make_pair("third").certificate);
  EXPECT_THAT(problem(), HasSubstr("for another key"));
}

TEST_F(TlsContextTest, UnchangedOrTouchedFilesAreNotLoadedAgain) {
  put(make_pair("old"));
  serve();
  const auto context = tls->current();
  EXPECT_FALSE(tls->reload_if_changed().value());
  for (std::time_t time : {1'000'000'000, 1'100'000'000}) {
    set_time(certificate_file, time);
    set_time(key_file, time);
    EXPECT_FALSE(tls->reload_if_changed().value());
    EXPECT_FALSE(tls->reload_if_changed().value());
  }
  EXPECT_EQ(tls->current(), context);
}

// Two changes within one tick of the clock that files are dated by: same file, size and time.
TEST_F(TlsContextTest, AChangeIsSeenThatTheFilesDatesDoNotShow) {
  Pair first = make_pair("first"), second = make_pair("other");
  for (Pair* pair : {&first, &second}) {
    pair->certificate.resize(2000, '\n');
    pair->key.resize(1000, '\n');
  }
  const std::time_t now = std::time(nullptr) + 5;
  put(first);
  set_time(certificate_file, now);
  set_time(key_file, now);
  serve();
  put(second);
  set_time(certificate_file, now);
  set_time(key_file, now);
  EXPECT_TRUE(tls->reload_if_changed().value());
  EXPECT_EQ(name_shown_to_a_new_client(), "other");
}

TEST_F(TlsContextTest, OtherThreadsTakeContextsWhileItReloads) {
  const Pair pairs[] = {make_pair("one"), make_pair("two")};
  put(pairs[0]);
  serve();
  std::atomic<bool> done{false};
  std::atomic<int> without{0};
  std::vector<std::thread> takers;
  for (int i = 0; i < 2; ++i)
    takers.emplace_back([&] {
      while (!done) {
        const auto context = tls->current();
        const std::shared_ptr<SSL> connection(SSL_new(context->native_handle()), SSL_free);
        if (!connection || SSL_get_certificate(connection.get()) == nullptr) ++without;
      }
    });
  for (int i = 1; i <= 20; ++i) {
    put(pairs[i % 2]);
    EXPECT_TRUE(tls->reload_if_changed().value());
  }
  done = true;
  for (std::thread& taker : takers) taker.join();
  EXPECT_EQ(without, 0);
}

}  // namespace
}  // namespace cppworker
