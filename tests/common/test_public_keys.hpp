// Public keys as the autoscaler hands them out, good and bad.
#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>

#include <map>
#include <memory>
#include <string>

#include "tests/common/test_certificates.hpp"

namespace cppworker {

inline std::string public_pem(EVP_PKEY* key) {
  return written([&](BIO* out) { return PEM_write_bio_PUBKEY(out, key); });
}

inline std::string rsa_public_pem(unsigned bits) {
  const TestKey key(EVP_RSA_gen(bits), EVP_PKEY_free);
  return public_pem(key.get());
}

// A good one, the same for the same name.
inline const std::string& named_public_pem(const std::string& name) {
  static std::map<std::string, std::string> made;
  std::string& pem = made[name];
  if (pem.empty()) pem = rsa_public_pem(2048);
  return pem;
}

}  // namespace cppworker
