#include "common/public_key.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>

#include <new>
#include <string>

namespace cppworker {
namespace {

// Without one of its own, OpenSSL asks for the passphrase of an encrypted text on the terminal, and waits.
int no_passphrase(char*, int, int, void*) {
  return -1;
}

}  // namespace

Result<std::shared_ptr<evp_pkey_st>> parse_public_key(std::string_view pem) {
  if (pem.size() > kLongestKeyPem)
    return fail("cannot use the public key: it is longer than " + std::to_string(kLongestKeyPem / 1024) +
                " KiB");
  std::unique_ptr<BIO, decltype(&BIO_free)> text(BIO_new_mem_buf(pem.data(), static_cast<int>(pem.size())),
                                                 BIO_free);
  if (!text) throw std::bad_alloc();
  std::shared_ptr<EVP_PKEY> key(PEM_read_bio_PUBKEY(text.get(), nullptr, no_passphrase, nullptr),
                                EVP_PKEY_free);
  ERR_clear_error();
  if (!key) return fail("cannot use the public key: it is no PEM text with BEGIN PUBLIC KEY");
  if (EVP_PKEY_get_base_id(key.get()) != EVP_PKEY_RSA)
    return fail("cannot use the public key: it is not RSA");
  int bits = EVP_PKEY_get_bits(key.get());
  if (bits < kLeastKeyBits || bits > kMostKeyBits)
    return fail("cannot use the public key: it has " + std::to_string(bits) + " bits, must have " +
                std::to_string(kLeastKeyBits) + " to " + std::to_string(kMostKeyBits));
  return key;
}

}  // namespace cppworker
