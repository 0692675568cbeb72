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

#include "common/result.hpp"

struct evp_pkey_ctx_st;

namespace cppworker {

using Sha256 = std::array<unsigned char, 32>;
Sha256 sha256(std::string_view text);

class RsaKey {
 public:
  // Sizes that the autoscaler's key may have (protocol section 1): smaller ones can be broken, larger ones
  // make each forged signature an expense.
  static constexpr int kLeastBits = 2048;
  static constexpr int kMostBits = 8192;
  static constexpr std::size_t kLongestSignature = kMostBits / 8;

  // PEM as GET /pubkey/ answers it. "cannot use the public key: it has 1024 bits …".
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
