#include "common/token_digest.hpp"

#include <openssl/crypto.h>
#include <openssl/evp.h>

#include <array>
#include <stdexcept>

namespace cppworker {

std::string token_digest(std::string_view token) {
  std::array<unsigned char, 32> digest;
  unsigned int size = 0;
  if (EVP_Digest(token.data(), token.size(), digest.data(), &size, EVP_sha256(), nullptr) != 1)
    throw std::runtime_error("cannot compute SHA-256");
  constexpr char kDigits[] = "0123456789abcdef";
  std::string out;
  for (unsigned char byte : digest) {
    out += kDigits[byte >> 4];
    out += kDigits[byte & 15];
  }
  return out;
}

bool is_token_of(std::string_view digest, std::string_view token) {
  std::string given = token_digest(token);
  return digest.size() == given.size() && CRYPTO_memcmp(digest.data(), given.data(), given.size()) == 0;
}

}  // namespace cppworker
