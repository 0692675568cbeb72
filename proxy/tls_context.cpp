#include "proxy/tls_context.hpp"

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509err.h>
#include <sys/stat.h>

#include <cerrno>
#include <chrono>
#include <cstring>
#include <stdexcept>

#include "common/text.hpp"
#include "proxy/rsa_key.hpp"

namespace cppworker {
namespace {

namespace ssl = asio::ssl;

// A chain of ten certificates has 20 kB; what is longer is another file.
constexpr std::size_t kLargestFile = 256 * 1024;

// A file that was changed so shortly before it was read can change again without showing it: the kernel takes
// modification times from a clock that ticks each 4 to 10 ms, some network file systems each second or two.
constexpr std::chrono::seconds kSettled{2};

// Mozilla's "intermediate" for TLS 1.2, less its DHE suites: they are for clients older than any of ours, and
// cost the server the most. TLS 1.3 has its own, which are all good.
constexpr const char* kCiphers =
    "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256:"
    "ECDHE-ECDSA-AES256-GCM-SHA384:ECDHE-RSA-AES256-GCM-SHA384:"
    "ECDHE-ECDSA-CHACHA20-POLY1305:ECDHE-RSA-CHACHA20-POLY1305";
constexpr const char* kGroups = "X25519:P-256:P-384";

// In the wire's form: lengths before names.
constexpr unsigned char kProtocols[] = "\x08http/1.1";

// Which file, with which content: the next look compares.
struct FileIdentity {
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  std::int64_t changed_ns = 0;

  bool operator==(const FileIdentity&) const = default;
};

Result<FileIdentity> identity_of(const std::string& path, std::string_view what) {
  struct stat status {};
  if (::stat(path.c_str(), &status) != 0)
    return fail("cannot read " + std::string(what) + " " + path + ": " + std::strerror(errno));
  return FileIdentity{status.st_dev, status.st_ino, status.st_size,
                      status.st_mtim.tv_sec * 1'000'000'000LL + status.st_mtim.tv_nsec};
}

bool settled(const FileIdentity& file) {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return now - std::chrono::nanoseconds(file.changed_ns) > kSettled;
}

Result<std::string> content_of(const std::string& path, std::string_view what) {
  // Appended, as g++ 12 sees an overrun in the inlined sum of the two.
  std::string named(what);
  named.append(" ").append(path);
  errno = 0;
  auto content = read_file(path, kLargestFile + 1);
  if (!content) {
    const int cause = errno;
    std::string message = "cannot read " + named + ": " + std::strerror(cause);
    if (cause == EACCES) message += "; the proxy's user must be allowed to read it";
    return fail(message);
  }
  if (content->size() > kLargestFile) return fail("cannot use " + named + ": it is longer than 256 KiB");
  return std::move(*content);
}

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
std::shared_ptr<ssl::context> make_context() {
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
  // An idle connection gives its buffers, 34 kB, back.
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS);
  SSL_CTX_set_alpn_select_cb(raw, select_protocol, nullptr);
  // OpenSSL would ask for an encrypted key's passphrase on the terminal, and wait.
  context->set_password_callback([](std::size_t, ssl::context::password_purpose) { return std::string(); });
  return context;
}

struct NamedText {
  const std::string path, text;
};

Result<std::shared_ptr<ssl::context>> context_from(const NamedText& certificate, const NamedText& key) {
  auto context = make_context();
  boost::system::error_code error;
  context->use_certificate_chain(asio::buffer(certificate.text), error);
  if (error)
    return fail("cannot use the certificate " + certificate.path + ": " + error.message() +
                "; it must hold PEM certificates, the server's own first (it has " +
                std::to_string(certificate.text.size()) + " bytes)");
  context->use_private_key(asio::buffer(key.text), ssl::context::pem, error);
  const bool mismatch = error.value() == ERR_PACK(ERR_LIB_X509, 0, X509_R_KEY_VALUES_MISMATCH);
  if (error && !mismatch)
    return fail("cannot use the private key " + key.path + ": " + error.message() +
                "; it must be a PEM key without a passphrase (it has " + std::to_string(key.text.size()) +
                " bytes)");
  // A key of another kind than the certificate's is taken above without a comparison.
  if (mismatch || SSL_CTX_check_private_key(context->native_handle()) != 1) {
    return fail("cannot use the certificate " + certificate.path + " with the private key " + key.path +
                ": it is for another key; put a pair there that belongs together");
  }
  return context;
}

}  // namespace

struct ServerTls::Seen {
  FileIdentity certificate, key;
  Sha256 content{};      // of both
  bool certain = false;  // that files with these identities have this content
};

ServerTls::ServerTls(std::string certificate_file, std::string key_file)
    : certificate_file_(std::move(certificate_file)),
      key_file_(std::move(key_file)),
      seen_(std::make_unique<Seen>()) {}
ServerTls::~ServerTls() = default;

Result<std::unique_ptr<ServerTls>> ServerTls::load(std::string certificate_file, std::string key_file) {
  std::unique_ptr<ServerTls> made(new ServerTls(std::move(certificate_file), std::move(key_file)));
  if (auto loaded = made->load_pair(); !loaded) return loaded.error();
  return made;
}

std::shared_ptr<ssl::context> ServerTls::current() const {
  std::lock_guard lock(mutex_);
  return context_;
}

Result<bool> ServerTls::reload_if_changed() {
  auto loaded = load_pair();
  if (loaded) return *loaded;
  // seen_ stays what the context was made from: the next look finds other files than those again, and tries.
  return fail(loaded.error().message + "; the certificate loaded before stays in use");
}

Result<bool> ServerTls::load_pair() {
  // Before the contents: what changes in between shows at the next look.
  auto certificate_identity = identity_of(certificate_file_, "the certificate");
  if (!certificate_identity) return certificate_identity.error();
  auto key_identity = identity_of(key_file_, "the private key");
  if (!key_identity) return key_identity.error();
  if (seen_->certain && seen_->certificate == *certificate_identity && seen_->key == *key_identity)
    return false;
  const bool certain = settled(*certificate_identity) && settled(*key_identity);

  auto certificate = content_of(certificate_file_, "the certificate");
  if (!certificate) return certificate.error();
  auto key = content_of(key_file_, "the private key");
  if (!key) return key.error();
  const Sha256 content = sha256(*certificate + '\0' + *key);
  if (context_ && content == seen_->content) {  // touched, or written again
    *seen_ = {*certificate_identity, *key_identity, content, certain};
    return false;
  }

  auto context = context_from({certificate_file_, std::move(*certificate)}, {key_file_, std::move(*key)});
  ERR_clear_error();  // what OpenSSL still has to say of a bad pair isn't about this thread's connections
  if (!context) return context.error();
  *seen_ = {*certificate_identity, *key_identity, content, certain};
  std::lock_guard lock(mutex_);
  context_ = std::move(*context);
  return true;
}

}  // namespace cppworker
