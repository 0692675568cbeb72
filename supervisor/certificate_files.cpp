#include "supervisor/certificate_files.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cerrno>
#include <cstring>
#include <memory>
#include <new>
#include <utility>

#include "common/text.hpp"

namespace cppworker {
namespace {

constexpr unsigned kKeyBits = 2048;
constexpr const char* kCommonName = "pyworker.vast.ai";
// Which address the clients will use isn't known here: they check the chain, not the name.
constexpr const char* kAlternativeName = "IP:0.0.0.0";

struct Free {
  void operator()(BIO* bio) const { BIO_free(bio); }
  void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
  void operator()(X509* certificate) const { X509_free(certificate); }
  void operator()(X509_REQ* request) const { X509_REQ_free(request); }
  void operator()(X509_EXTENSION* extension) const { X509_EXTENSION_free(extension); }
  void operator()(STACK_OF(X509_EXTENSION) * extensions) const {
    sk_X509_EXTENSION_pop_free(extensions, X509_EXTENSION_free);
  }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// What OpenSSL says went wrong; its queue is empty afterwards, for the TLS connections of this thread.
std::string openssl_cause() {
  const char* reason = ERR_reason_error_string(ERR_peek_last_error());
  ERR_clear_error();
  return reason != nullptr ? reason : "OpenSSL doesn't say why";
}

Owned<BIO> reader_of(std::string_view text) {
  Owned<BIO> bio(BIO_new_mem_buf(text.data(), static_cast<int>(text.size())));
  if (!bio) throw std::bad_alloc();
  return bio;
}

Owned<BIO> writer() {
  Owned<BIO> bio(BIO_new(BIO_s_mem()));
  if (!bio) throw std::bad_alloc();
  return bio;
}

std::string text_of(BIO* bio) {
  char* data = nullptr;
  const long size = BIO_get_mem_data(bio, &data);
  return {data, static_cast<std::size_t>(size)};
}

// Without this OpenSSL asks for the passphrase of an encrypted key on the terminal, and waits.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

Owned<EVP_PKEY> read_key(std::string_view pem) {
  if (pem.size() > kLargestPem) return nullptr;
  Owned<EVP_PKEY> key(PEM_read_bio_PrivateKey(reader_of(pem).get(), nullptr, no_passphrase, nullptr));
  ERR_clear_error();
  return key;
}

Error not_a_key(std::string_view pem) {
  return fail("cannot use the private key: it isn't a PEM key without a passphrase (" +
              std::to_string(pem.size()) + " bytes)");
}

Owned<X509> read_certificate(BIO* from) {
  return Owned<X509>(PEM_read_bio_X509(from, nullptr, no_passphrase, nullptr));
}

bool add_extensions(X509_REQ* request) {
  // The first two are what the Python workers' requests ask for, too.
  constexpr std::pair<int, const char*> kExtensions[] = {
      {NID_basic_constraints, "CA:FALSE"},
      {NID_key_usage, "nonRepudiation,digitalSignature,keyEncipherment"},
      {NID_subject_alt_name, kAlternativeName},
  };
  Owned<STACK_OF(X509_EXTENSION)> extensions(sk_X509_EXTENSION_new_null());
  if (!extensions) return false;
  for (const auto& [name, value] : kExtensions) {
    Owned<X509_EXTENSION> extension(X509V3_EXT_conf_nid(nullptr, nullptr, name, value));
    if (!extension || sk_X509_EXTENSION_push(extensions.get(), extension.get()) == 0) return false;
    (void)extension.release();
  }
  return X509_REQ_add_extensions(request, extensions.get()) == 1;
}

bool add_name(X509_NAME* name, const char* field, const char* value) {
  return X509_NAME_add_entry_by_txt(name, field, MBSTRING_ASC, reinterpret_cast<const unsigned char*>(value),
                                    -1, -1, 0) == 1;
}

std::time_t time_of(const ASN1_TIME* time) {
  std::tm parts{};
  return ASN1_TIME_to_tm(time, &parts) == 1 ? ::timegm(&parts) : 0;
}

std::string date_text(std::time_t time) {
  std::tm parts{};
  char text[32];
  ::gmtime_r(&time, &parts);
  std::strftime(text, sizeof text, "%Y-%m-%d %H:%M:%S UTC", &parts);
  return text;
}

}  // namespace

Result<std::string> make_key() {
  Owned<EVP_PKEY> key(EVP_RSA_gen(kKeyBits));
  Owned<BIO> out = writer();
  if (!key || PEM_write_bio_PrivateKey(out.get(), key.get(), nullptr, nullptr, 0, nullptr, nullptr) != 1)
    return fail("cannot make a private key: " + openssl_cause());
  return text_of(out.get());
}

Result<void> write_key_file(const std::string& path, std::string_view key_pem) {
  if (write_file_atomically(path, key_pem, 0600)) return {};
  return fail("cannot write the private key " + path + ": " + std::strerror(errno));
}

Result<std::string> make_certificate_request(std::string_view key_pem) {
  Owned<EVP_PKEY> key = read_key(key_pem);
  if (!key) return not_a_key(key_pem);
  Owned<X509_REQ> request(X509_REQ_new());
  if (!request) throw std::bad_alloc();
  X509_NAME* subject = X509_REQ_get_subject_name(request.get());
  Owned<BIO> out = writer();
  const bool made = X509_REQ_set_version(request.get(), X509_REQ_VERSION_1) == 1 &&
                    add_name(subject, "C", "US") && add_name(subject, "ST", "CA") &&
                    add_name(subject, "CN", kCommonName) &&
                    X509_REQ_set_pubkey(request.get(), key.get()) == 1 && add_extensions(request.get()) &&
                    X509_REQ_sign(request.get(), key.get(), EVP_sha256()) > 0 &&
                    PEM_write_bio_X509_REQ(out.get(), request.get()) == 1;
  if (!made) return fail("cannot make a certificate request: " + openssl_cause());
  return text_of(out.get());
}

Result<void> check_certificate(std::string_view pem, std::string_view key_pem, std::time_t now) {
  const std::string size = " (" + std::to_string(pem.size()) + " bytes)";
  if (pem.size() > kLargestPem) return fail("cannot use the certificate: it is longer than 64 KiB" + size);
  Owned<BIO> text = reader_of(pem);
  Owned<X509> certificate = read_certificate(text.get());
  ERR_clear_error();
  if (!certificate) return fail("cannot use the certificate: it isn't a PEM certificate" + size);
  int behind = 0;
  while (read_certificate(text.get())) ++behind;
  // What ends the text as it should is that no further one begins.
  const bool whole = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
  ERR_clear_error();
  if (!whole)
    return fail("cannot use the certificate: number " + std::to_string(behind + 2) +
                " of its chain is broken" + size);

  Owned<EVP_PKEY> key = read_key(key_pem);
  if (!key) return not_a_key(key_pem);
  const bool ours = X509_check_private_key(certificate.get(), key.get()) == 1;
  ERR_clear_error();
  if (!ours) return fail("cannot use the certificate: it is for another key than ours");
  const std::time_t until = time_of(X509_get0_notAfter(certificate.get()));
  if (until <= now) return fail("cannot use the certificate: it expired on " + date_text(until));
  return {};
}

std::optional<CertificateLifetime> certificate_lifetime(std::string_view pem) {
  if (pem.size() > kLargestPem) return std::nullopt;
  Owned<X509> certificate = read_certificate(reader_of(pem).get());
  ERR_clear_error();
  if (!certificate) return std::nullopt;
  return CertificateLifetime{time_of(X509_get0_notBefore(certificate.get())),
                             time_of(X509_get0_notAfter(certificate.get()))};
}

std::optional<std::string> key_fingerprint(std::string_view key_pem) {
  Owned<EVP_PKEY> key = read_key(key_pem);
  if (!key) return std::nullopt;
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  if (size <= 0) return std::nullopt;
  unsigned char digest[EVP_MAX_MD_SIZE];
  unsigned int length = 0;
  const bool hashed =
      EVP_Digest(der, static_cast<std::size_t>(size), digest, &length, EVP_sha256(), nullptr) == 1;
  OPENSSL_free(der);
  if (!hashed) return std::nullopt;
  constexpr char kDigits[] = "0123456789abcdef";
  std::string text;
  for (unsigned int i = 0; i < length; ++i) {
    text += kDigits[digest[i] >> 4];
    text += kDigits[digest[i] & 15];
  }
  return text;
}

}  // namespace cppworker
