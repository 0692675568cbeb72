#include "proxy/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>

#include <stdexcept>

namespace cppworker {
namespace {

namespace ssl = asio::ssl;

// Mozilla's "intermediate" for TLS 1.2, less its DHE suites: they are for clients older than any of ours, and
// cost the server the most. TLS 1.3 has its own, which are all good.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kGroups = "X25519:P-256:P-384";

// In the wire's form: lengths before names.
constexpr unsigned char kProtocols[] = "\x08http/1.1";

// A client that names protocols and not ours would take our answers for another protocol's (RFC 7301).
int select_protocol(SSL*, const unsigned char** chosen, unsigned char* length, const unsigned char* offered,
                    unsigned int offered_length, void*) {
  unsigned char* found = nullptr;
  const int outcome =
      SSL_select_next_proto(&found, length, kProtocols, sizeof kProtocols - 1, offered, offered_length);
  if (outcome != OPENSSL_NPN_NEGOTIATED) return SSL_TLSEXT_ERR_ALERT_FATAL;
  *chosen = found;
  return SSL_TLSEXT_ERR_OK;
}

// Throws only when OpenSSL has no memory, or doesn't know the names above: cannot start.
TlsContext make_context() {
  auto context = std::make_shared<ssl::context>(ssl::context::tls_server);
  SSL_CTX* raw = context->native_handle();
  const bool made = SSL_CTX_set_min_proto_version(raw, TLS1_2_VERSION) == 1 &&
                    SSL_CTX_set_cipher_list(raw, kCiphers) == 1 &&
                    SSL_CTX_set1_groups_list(raw, kGroups) == 1;
  if (!made) throw std::runtime_error("OpenSSL doesn't know the ciphers or groups of the public port");
  // A client may ask for a new handshake as often as it likes, each an RSA operation of ours.
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION | SSL_OP_NO_COMPRESSION);
  // Sessions are resumed by tickets, which cost nothing here; the cache would hold 20 000 in memory.
  SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  // An idle connection gives its buffers, 34 kB, back. A write may go on from elsewhere than where it began:
  // what is to be sent is the same.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  // A record in one system call, instead of its head in one and the rest in another.
  SSL_CTX_set_read_ahead(raw, 1);
  SSL_CTX_set_alpn_select_cb(raw, select_protocol, nullptr);
  // OpenSSL would ask for an encrypted key's passphrase on the terminal, and wait.
  context->set_password_callback([](std::size_t, ssl::context::password_purpose) { return std::string(); });
  return context;
}

std::string size_of(const std::string& text) {
  return " (" + std::to_string(text.size()) + " bytes)";
}

Result<TlsContext> context_from(const std::string& certificate, const std::string& private_key) {
  auto context = make_context();
  boost::system::error_code error;
  context->use_certificate_chain(asio::buffer(certificate), error);
  if (error)
    return fail("cannot use the certificate: " + error.message() +
                "; it must be PEM certificates, the server's own first" + size_of(certificate));
  context->use_private_key(asio::buffer(private_key), ssl::context::pem, error);
  const bool mismatch = error.value() == ERR_PACK(ERR_LIB_X509, 0, X509_R_KEY_VALUES_MISMATCH);
  if (error && !mismatch)
    return fail("cannot use the private key: " + error.message() +
                "; it must be a PEM key without a passphrase" + size_of(private_key));
  // A key of another kind than the certificate's is taken above without a comparison.
  if (mismatch || SSL_CTX_check_private_key(context->native_handle()) != 1)
    return fail("cannot use the certificate: it is for another key than the one beside it");
  return context;
}

}  // namespace

Result<TlsContext> make_tls_context(const std::string& certificate, const std::string& private_key) {
  auto context = context_from(certificate, private_key);
  ERR_clear_error();  // what OpenSSL still has to say of a bad pair isn't about this thread's connections
  return context;
}

}  // namespace cppworker
