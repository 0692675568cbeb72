// RSA keys of the tests' own, and signatures by them.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <memory>
#include <string>
#include <string_view>

namespace cppworker {

inline std::shared_ptr<EVP_PKEY> make_key(unsigned bits) {
  return {EVP_RSA_gen(bits), EVP_PKEY_free};
}

inline std::string pem_of(EVP_PKEY* key) {
  BIO* out = BIO_new(BIO_s_mem());
  PEM_write_bio_PUBKEY(out, key);
  char* data = nullptr;
  long size = BIO_get_mem_data(out, &data);
  std::string text(data, static_cast<std::size_t>(size));
  BIO_free(out);
  return text;
}

inline std::string sign(EVP_PKEY* key, std::string_view text, const EVP_MD* digest = EVP_sha256(),
                        bool pss = false) {
  EVP_MD_CTX* context = EVP_MD_CTX_new();
  EVP_PKEY_CTX* of_key = nullptr;
  EVP_DigestSignInit(context, &of_key, digest, nullptr, key);
  if (pss) EVP_PKEY_CTX_set_rsa_padding(of_key, RSA_PKCS1_PSS_PADDING);
  std::string signature(1024, '\0');
  std::size_t size = signature.size();
  EVP_DigestSign(context, reinterpret_cast<unsigned char*>(signature.data()), &size,
                 reinterpret_cast<const unsigned char*>(text.data()), text.size());
  EVP_MD_CTX_free(context);
  signature.resize(size);
  return signature;
}

inline const std::shared_ptr<EVP_PKEY>& test_key() {
  static const auto key = make_key(2048);
  return key;
}

}  // namespace cppworker
