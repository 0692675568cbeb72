#include "proxy/rsa_key.hpp"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/rsa.h>
#include <openssl/x509.h>

#include <algorithm>
#include <cstring>
#include <new>

namespace cppworker {
namespace {

struct Free {
  void operator()(EVP_MD* digest) const { EVP_MD_free(digest); }
  void operator()(EVP_MD_CTX* context) const { EVP_MD_CTX_free(context); }
  void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
};
template <class T>
using Owned = std::unique_ptr<T, Free>;

// Fetched once: a look-up by name for each request costs more than the hash.
const EVP_MD* sha256_algorithm() {
  static const Owned<EVP_MD> algorithm(EVP_MD_fetch(nullptr, "SHA256", nullptr));
  if (!algorithm) throw std::bad_alloc();
  return algorithm.get();
}

// Initialised for verifying; keeps the key alive.
std::shared_ptr<EVP_PKEY_CTX> make_context(EVP_PKEY* key) {
  std::shared_ptr<EVP_PKEY_CTX> context(EVP_PKEY_CTX_new_from_pkey(nullptr, key, nullptr), EVP_PKEY_CTX_free);
  bool made = context && EVP_PKEY_verify_recover_init(context.get()) == 1 &&
              EVP_PKEY_CTX_set_rsa_padding(context.get(), RSA_PKCS1_PADDING) == 1 &&
              EVP_PKEY_CTX_set_signature_md(context.get(), sha256_algorithm()) == 1;
  if (!made) context.reset();
  return context;
}

std::uint64_t fingerprint(EVP_PKEY* key) {
  unsigned char* der = nullptr;
  int size = i2d_PUBKEY(key, &der);
  if (size <= 0) return 0;
  Sha256 digest = sha256({reinterpret_cast<const char*>(der), static_cast<std::size_t>(size)});
  OPENSSL_free(der);
  std::uint64_t id = 0;
  std::memcpy(&id, digest.data(), sizeof id);
  return id;
}

}  // namespace

Sha256 sha256(std::string_view text) {
  thread_local const Owned<EVP_MD_CTX> context(EVP_MD_CTX_new());
  Sha256 digest{};
  bool done = context && EVP_DigestInit_ex(context.get(), sha256_algorithm(), nullptr) == 1 &&
              EVP_DigestUpdate(context.get(), text.data(), text.size()) == 1 &&
              EVP_DigestFinal_ex(context.get(), digest.data(), nullptr) == 1;
  if (!done) throw std::bad_alloc();
  return digest;
}

RsaKey::RsaKey(std::shared_ptr<evp_pkey_ctx_st> context, int bits, std::size_t size, std::uint64_t id)
    : context_(std::move(context)), bits_(bits), size_(size), id_(id) {}

Result<std::shared_ptr<const RsaKey>> RsaKey::from_pem(std::string_view pem) {
  auto parsed = parse_public_key(pem);
  if (!parsed) return parsed.error();
  std::shared_ptr<EVP_PKEY> key = std::move(*parsed);
  auto context = make_context(key.get());
  if (!context) {
    ERR_clear_error();
    return fail("cannot use the public key: OpenSSL refuses it");
  }
  int bits = EVP_PKEY_get_bits(key.get());
  auto size = static_cast<std::size_t>(EVP_PKEY_get_size(key.get()));
  return std::shared_ptr<const RsaKey>(new RsaKey(std::move(context), bits, size, fingerprint(key.get())));
}

std::optional<Sha256> RsaKey::recover(std::span<const unsigned char> signature) const {
  if (signature.size() != size_) return std::nullopt;
  Owned<EVP_PKEY_CTX> context(EVP_PKEY_CTX_dup(context_.get()));
  std::array<unsigned char, kLongestSignature> recovered;
  std::size_t size = recovered.size();
  // With the hash set, OpenSSL checks the whole padding and DigestInfo (RFC 8017 section 8.2.2, by comparing)
  // and hands out the digest alone.
  if (!context ||
      EVP_PKEY_verify_recover(context.get(), recovered.data(), &size, signature.data(), signature.size()) !=
          1 ||
      size != std::tuple_size_v<Sha256>) {
    ERR_clear_error();
    return std::nullopt;
  }
  Sha256 digest;
  std::copy_n(recovered.begin(), digest.size(), digest.begin());
  return digest;
}

bool RsaKey::verify(std::string_view text, std::span<const unsigned char> signature) const {
  auto digest = recover(signature);
  return digest && *digest == sha256(text);
}

}  // namespace cppworker
