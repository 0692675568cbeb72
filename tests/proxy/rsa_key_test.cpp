#include "proxy/rsa_key.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "test_keys.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;

std::span<const unsigned char> bytes(const std::string& text) {
  return {reinterpret_cast<const unsigned char*>(text.data()), text.size()};
}

TEST(RsaKey, EveryFlippedBitOfTheSignatureIsRefused) {
  auto key = RsaKey::from_pem(pem_of(test_key().get())).value();
  std::string signature = sign(test_key().get(), "text");
  ASSERT_TRUE(key->verify("text", bytes(signature)));
  for (std::size_t bit = 0; bit < signature.size() * 8; bit += 7) {
    std::string flipped = signature;
    flipped[bit / 8] = static_cast<char>(flipped[bit / 8] ^ (1 << bit % 8));
    EXPECT_FALSE(key->verify("text", bytes(flipped))) << bit;
  }
  EXPECT_FALSE(key->verify("text ", bytes(signature)));
  EXPECT_FALSE(key->verify("text", bytes(signature.substr(1))));
  EXPECT_FALSE(key->verify("text", bytes(signature + "x")));
  EXPECT_FALSE(key->verify("text", bytes("")));
  // The modulus itself and beyond: no number of the group.
  EXPECT_FALSE(key->verify("text", bytes(std::string(256, '\xff'))));
  EXPECT_FALSE(key->verify("text", bytes(std::string(256, '\0'))));
}

TEST(RsaKey, OtherHashesAndPaddingsAreRefused) {
  auto key = RsaKey::from_pem(pem_of(test_key().get())).value();
  EXPECT_FALSE(key->verify("text", bytes(sign(test_key().get(), "text", EVP_sha1()))));
  EXPECT_FALSE(key->verify("text", bytes(sign(test_key().get(), "text", EVP_sha512()))));
  EXPECT_FALSE(key->verify("text", bytes(sign(test_key().get(), "text", EVP_sha3_256()))));
  EXPECT_FALSE(key->verify("text", bytes(sign(test_key().get(), "text", EVP_sha256(), true))));
}

// Fresh signatures of damaged blocks: RSA without padding over what a lenient reader would take for PKCS#1
// v1.5.
TEST(RsaKey, BlocksThatOnlyAlmostFollowThePaddingAreRefused) {
  auto key = RsaKey::from_pem(pem_of(test_key().get())).value();
  auto raw_sign = [&](const std::string& block) {
    EVP_PKEY_CTX* context = EVP_PKEY_CTX_new(test_key().get(), nullptr);
    EVP_PKEY_decrypt_init(context);
    EVP_PKEY_CTX_set_rsa_padding(context, RSA_NO_PADDING);
    std::string out(256, '\0');
    std::size_t size = out.size();
    EXPECT_EQ(EVP_PKEY_decrypt(context, reinterpret_cast<unsigned char*>(out.data()), &size,
                               reinterpret_cast<const unsigned char*>(block.data()), block.size()),
              1);
    EVP_PKEY_CTX_free(context);
    return out;
  };
  Sha256 digest = sha256("text");
  std::string hash(digest.begin(), digest.end());
  const std::string info("\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20", 19);
  auto block = [&](std::size_t padding, const std::string& tail, char type = 1) {
    return std::string(1, '\0') + type + std::string(padding, '\xff') + std::string(1, '\0') + tail;
  };
  ASSERT_TRUE(key->verify("text", bytes(raw_sign(block(202, info + hash)))));
  EXPECT_FALSE(key->verify("text", bytes(raw_sign(block(202, info + hash, 2)))));
  // Rubbish behind the hash (CVE-2006-4339), and the hash without its name.
  EXPECT_FALSE(key->verify("text", bytes(raw_sign(block(8, info + hash + std::string(194, 'x'))))));
  EXPECT_FALSE(key->verify("text", bytes(raw_sign(block(221, hash)))));
  std::string hole = block(202, info + hash);
  hole[50] = '\0';
  EXPECT_FALSE(key->verify("text", bytes(raw_sign(hole))));
  // DigestInfo without the NULL of its parameters.
  const std::string bare("\x30\x2f\x30\x0b\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x04\x20", 17);
  EXPECT_FALSE(key->verify("text", bytes(raw_sign(block(204, bare + hash)))));
}

TEST(RsaKey, KeysThatAreUnusableAreNamed) {
  auto problem = [](const std::string& pem) {
    auto key = RsaKey::from_pem(pem);
    return key ? std::string() : key.error().message;
  };
  EXPECT_EQ(problem(pem_of(test_key().get())), "");
  EXPECT_THAT(problem(pem_of(make_key(1024).get())), HasSubstr("1024 bits"));
  std::shared_ptr<EVP_PKEY> curve(EVP_EC_gen("P-256"), EVP_PKEY_free);
  EXPECT_THAT(problem(pem_of(curve.get())), HasSubstr("not RSA"));
  EXPECT_THAT(problem("<html>error</html>"), HasSubstr("no PEM"));
  EXPECT_THAT(problem(""), HasSubstr("no PEM"));
  EXPECT_THAT(problem(std::string(100'000, 'A')), HasSubstr("16 KiB"));
}

}  // namespace
}  // namespace cppworker
