#include "common/public_key.hpp"

#include <gmock/gmock.h>

#include "tests/common/test_public_keys.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;

std::string problem(const std::string& pem) {
  auto key = parse_public_key(pem);
  return key ? std::string("(taken)") : key.error().message;
}

TEST(PublicKey, TakesRsaOfTheAllowedSizes) {
  EXPECT_EQ(problem(rsa_public_pem(2048)), "(taken)");
  EXPECT_EQ(problem(rsa_public_pem(3072)), "(taken)");
  EXPECT_EQ(problem("Some words before it.\n" + rsa_public_pem(2048)), "(taken)");
}

TEST(PublicKey, SaysWhyItCannotUseOthers) {
  const std::string good = rsa_public_pem(2048);
  EXPECT_THAT(problem(rsa_public_pem(1024)), HasSubstr("it has 1024 bits, must have 2048 to 8192"));
  EXPECT_THAT(problem(public_pem(make_ec_key().get())), HasSubstr("it is not RSA"));
  EXPECT_THAT(problem(""), HasSubstr("no PEM text"));
  EXPECT_THAT(problem("<html>Bad gateway</html>"), HasSubstr("no PEM text"));
  EXPECT_THAT(problem(good.substr(0, good.size() / 2)), HasSubstr("no PEM text")) << "broken off";
  EXPECT_THAT(problem("-----BEGIN PUBLIC KEY-----\nMIIB\n-----END PUBLIC KEY-----\n"),
              HasSubstr("no PEM text"));
  EXPECT_THAT(problem(good + std::string(20'000, 'x')), HasSubstr("longer than 16 KiB"));
}

// OpenSSL would ask for its passphrase on the terminal, and the worker wait for an answer.
TEST(PublicKey, AsksNobodyForAPassphrase) {
  std::string text = rsa_public_pem(2048);
  text.insert(text.find('\n') + 1,
              "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n");
  testing::internal::CaptureStderr();
  EXPECT_THAT(problem(text), HasSubstr("no PEM text"));
  EXPECT_EQ(testing::internal::GetCapturedStderr(), "");
}

}  // namespace
}  // namespace cppworker
