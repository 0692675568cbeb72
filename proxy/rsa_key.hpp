// An RSA public key, decoded once, that says what an RSA PKCS#1 v1.5 signature with SHA-256 signed.
//
// Immutable; any thread. Each operation works on a copy of one prepared OpenSSL context: 0.1 µs, where
// preparing it anew costs a good part of the RSA operation's 13 µs (2048 bits).
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <string_view>

#include "common/public_key.hpp"
#include "common/result.hpp"

struct evp_pkey_ctx_st;

namespace cppworker {

using Sha256 = std::array<unsigned char, 32>;
Sha256 sha256(std::string_view text);

class RsaKey {
 public:
  static constexpr std::size_t kLongestSignature = kMostKeyBits / 8;

  // Of a key that parse_public_key takes; the same errors.
  static Result<std::shared_ptr<const RsaKey>> from_pem(std::string_view pem);

  // The digest that the signature covers, whatever the text; nullopt when it isn't this key's. One RSA
  // operation answers for any number of texts.
  std::optional<Sha256> recover(std::span<const unsigned char> signature) const;

  bool verify(std::string_view text, std::span<const unsigned char> signature) const;

  int bits() const { return bits_; }
  // Tells keys apart; made from the key itself, so the same key sent again keeps it.
  std::uint64_t id() const { return id_; }

 private:
  RsaKey(std::shared_ptr<evp_pkey_ctx_st> context, int bits, std::size_t size, std::uint64_t id);

  std::shared_ptr<evp_pkey_ctx_st> context_;  // copied, never used itself
  int bits_;
  std::size_t size_;  // of a signature, in bytes
  std::uint64_t id_;
};

}  // namespace cppworker
