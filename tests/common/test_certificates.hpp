// Keys and certificates of the tests' own.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>

#include <ctime>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>

namespace cppworker {

using TestKey = std::shared_ptr<EVP_PKEY>;

// Quicker to make than RSA.
inline TestKey make_ec_key() {
  return {EVP_EC_gen("P-256"), EVP_PKEY_free};
}

// What `write` puts into a BIO.
template <class Write>
std::string written(Write write) {
  const std::shared_ptr<BIO> out(BIO_new(BIO_s_mem()), BIO_free);
  if (write(out.get()) != 1) throw std::runtime_error("OpenSSL can't write");
  char* data = nullptr;
  const long size = BIO_get_mem_data(out.get(), &data);
  return {data, static_cast<std::size_t>(size)};
}

inline std::string private_pem(EVP_PKEY* key) {
  return written(
      [&](BIO* out) { return PEM_write_bio_PrivateKey(out, key, nullptr, nullptr, 0, nullptr, nullptr); });
}

// With a passphrase, as nobody can use it unattended.
inline std::string encrypted_pem(EVP_PKEY* key) {
  const auto* phrase = reinterpret_cast<const unsigned char*>("secret");
  return written([&](BIO* out) {
    return PEM_write_bio_PrivateKey(out, key, EVP_aes_128_cbc(), phrase, 6, nullptr, nullptr);
  });
}

inline std::shared_ptr<EVP_PKEY> key_from(std::string_view pem) {
  const std::shared_ptr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  return {PEM_read_bio_PrivateKey(in.get(), nullptr, nullptr, nullptr), EVP_PKEY_free};
}

inline std::shared_ptr<X509_REQ> request_from(std::string_view pem) {
  const std::shared_ptr<BIO> in(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())), BIO_free);
  return {PEM_read_bio_X509_REQ(in.get(), nullptr, nullptr, nullptr), X509_REQ_free};
}

struct CertificateWish {
  std::string name = "worker";
  std::time_t from = std::time(nullptr) - 60;
  std::time_t until = std::time(nullptr) + 86400;
};

// A certificate for `key`, signed with `issuer`.
inline std::string make_certificate(EVP_PKEY* key, EVP_PKEY* issuer, const CertificateWish& wish = {}) {
  const std::shared_ptr<X509> made(X509_new(), X509_free);
  X509_set_version(made.get(), X509_VERSION_3);
  ASN1_INTEGER_set(X509_get_serialNumber(made.get()), 1);
  ASN1_TIME_set(X509_getm_notBefore(made.get()), wish.from);
  ASN1_TIME_set(X509_getm_notAfter(made.get()), wish.until);
  X509_NAME* name = X509_get_subject_name(made.get());
  X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_ASC,
                             reinterpret_cast<const unsigned char*>(wish.name.c_str()), -1, -1, 0);
  X509_set_issuer_name(made.get(), name);
  X509_set_pubkey(made.get(), key);
  X509_sign(made.get(), issuer, EVP_sha256());
  return written([&](BIO* out) { return PEM_write_bio_X509(out, made.get()); });
}

inline std::string self_signed(const TestKey& key, const CertificateWish& wish = {}) {
  return make_certificate(key.get(), key.get(), wish);
}

// What a signing service answers to a request. Throws when the request isn't one, signed with its own key.
inline std::string sign_request(std::string_view request_pem, const CertificateWish& wish = {}) {
  static const TestKey authority = make_ec_key();
  const auto request = request_from(request_pem);
  if (!request) throw std::runtime_error("not a certificate request");
  EVP_PKEY* key = X509_REQ_get0_pubkey(request.get());
  if (X509_REQ_verify(request.get(), key) != 1) throw std::runtime_error("request not signed with its key");
  return make_certificate(key, authority.get(), wish);
}

}  // namespace cppworker
