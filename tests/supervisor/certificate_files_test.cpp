#include "supervisor/certificate_files.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <openssl/err.h>
#include <openssl/x509v3.h>
#include <sys/stat.h>

#include "common/text.hpp"
#include "tests/common/run_until.hpp"
#include "tests/common/test_certificates.hpp"

namespace cppworker {
namespace {

using testing::HasSubstr;
using testing::Not;

// Making one takes a while.
const std::string& made_key() {
  static const std::string key = make_key().value();
  return key;
}

std::string problem_of(const Result<void>& result) {
  return result ? "" : result.error().message;
}

// The text of one of the extensions that a request asks for.
std::string requested(X509_REQ* request, int nid) {
  const std::shared_ptr<STACK_OF(X509_EXTENSION)> all(
      X509_REQ_get_extensions(request),
      [](STACK_OF(X509_EXTENSION) * list) { sk_X509_EXTENSION_pop_free(list, X509_EXTENSION_free); });
  const int index = X509v3_get_ext_by_NID(all.get(), nid, -1);
  if (index < 0) return "";
  return written([&](BIO* out) { return X509V3_EXT_print(out, X509v3_get_ext(all.get(), index), 0, 0); });
}

TEST(CertificateFiles, MakesKeysOfTheSizeThatIsAskedForEachAnother) {
  const auto key = key_from(made_key());
  ASSERT_TRUE(key);
  EXPECT_EQ(EVP_PKEY_get_base_id(key.get()), EVP_PKEY_RSA);
  EXPECT_EQ(EVP_PKEY_get_bits(key.get()), 2048);
  EXPECT_NE(made_key(), make_key().value());
}

TEST(CertificateFiles, WritesKeysForTheOwnerAlone) {
  const TemporaryFolder folder;
  ASSERT_TRUE(write_key_file(folder / "key", "text"));
  struct stat status {};
  ASSERT_EQ(::stat((folder / "key").c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777U, 0600U);
  EXPECT_EQ(read_file(folder / "key", 100), "text");
  EXPECT_THAT(problem_of(write_key_file(folder / "no/key", "text")),
              testing::AllOf(HasSubstr("cannot write the private key"), HasSubstr("No such file")));
}

TEST(CertificateFiles, RequestsWhatTheSigningServiceExpects) {
  const auto request = request_from(make_certificate_request(made_key()).value());
  ASSERT_TRUE(request);
  const std::string subject = written([&](BIO* out) {
    return X509_NAME_print_ex(out, X509_REQ_get_subject_name(request.get()), 0, XN_FLAG_RFC2253) < 0 ? 0 : 1;
  });
  EXPECT_EQ(subject, "CN=pyworker.vast.ai,ST=CA,C=US");
  EXPECT_EQ(requested(request.get(), NID_subject_alt_name), "IP Address:0.0.0.0");
  EXPECT_EQ(requested(request.get(), NID_basic_constraints), "CA:FALSE");
  EXPECT_EQ(requested(request.get(), NID_key_usage), "Digital Signature, Non Repudiation, Key Encipherment");
  EXPECT_EQ(X509_REQ_get_signature_nid(request.get()), NID_sha256WithRSAEncryption);
  EXPECT_EQ(X509_REQ_verify(request.get(), key_from(made_key()).get()), 1);
}

TEST(CertificateFiles, RequestsNothingWithoutAKey) {
  EXPECT_THAT(make_certificate_request("nonsense").error().message,
              HasSubstr("isn't a PEM key without a passphrase (8 bytes)"));
  EXPECT_FALSE(make_certificate_request(encrypted_pem(make_ec_key().get())));
}

TEST(CertificateFiles, TakesTheAnswerToItsOwnRequest) {
  const std::string answer = sign_request(make_certificate_request(made_key()).value());
  EXPECT_EQ(problem_of(check_certificate(answer, made_key(), std::time(nullptr))), "");
}

class CertificateCheck : public testing::Test {
 protected:
  std::string check(std::string_view pem, std::time_t at) const {
    return problem_of(check_certificate(pem, private_pem(key.get()), at));
  }
  std::string check(std::string_view pem) const { return check(pem, now); }
  // Nobody else's connection on this thread is to find our errors.
  void TearDown() override { EXPECT_EQ(ERR_peek_error(), 0UL); }

  const TestKey key = make_ec_key();
  const std::time_t now = std::time(nullptr);
  const std::string good = self_signed(key);
};

TEST_F(CertificateCheck, TakesACertificateWithItsChain) {
  EXPECT_EQ(check(good), "");
  EXPECT_EQ(check(good + self_signed(make_ec_key(), {.name = "authority"})), "");
  EXPECT_EQ(check("some words before it\n" + good), "");
}

TEST_F(CertificateCheck, SaysThatAPageIsNoCertificateWithoutQuotingIt) {
  const std::string page = "<html><body>token=hunter2</body></html>";
  EXPECT_EQ(check(page), "cannot use the certificate: it isn't a PEM certificate (39 bytes)");
  EXPECT_THAT(check(""), HasSubstr("(0 bytes)"));
  EXPECT_THAT(check(private_pem(key.get())), HasSubstr("isn't a PEM certificate"));
  EXPECT_THAT(check(good.substr(0, good.size() / 2)), HasSubstr("isn't a PEM certificate"));
  EXPECT_THAT(check(good + std::string(kLargestPem, '\n')), HasSubstr("longer than 64 KiB"));
}

TEST_F(CertificateCheck, RefusesAChainThatBreaksOff) {
  EXPECT_THAT(check(good + good + good.substr(0, good.size() / 2)),
              HasSubstr("number 3 of its chain is broken"));
}

TEST_F(CertificateCheck, RefusesACertificateForAnotherKey) {
  EXPECT_THAT(check(self_signed(make_ec_key())), HasSubstr("for another key than ours"));
  EXPECT_THAT(check(sign_request(make_certificate_request(made_key()).value())),
              HasSubstr("for another key than ours"))
      << "of another kind";
  EXPECT_THAT(check(self_signed(make_ec_key()) + good), HasSubstr("for another key"))
      << "the first one counts";
}

TEST_F(CertificateCheck, RefusesAnExpiredOneFromItsLastSecondOn) {
  const std::string until_then = self_signed(key, {.until = 1'700'000'000});
  EXPECT_EQ(check(until_then, 1'699'999'999), "");
  EXPECT_EQ(check(until_then, 1'700'000'000),
            "cannot use the certificate: it expired on 2023-11-14 22:13:20 UTC");
}

TEST_F(CertificateCheck, TakesOneFromAnIssuerWhoseClockIsAhead) {
  EXPECT_EQ(check(self_signed(key, {.from = now + 30})), "");
}

TEST_F(CertificateCheck, SaysThatTheKeyIsUnusable) {
  EXPECT_THAT(problem_of(check_certificate(good, "", now)), HasSubstr("cannot use the private key"));
  EXPECT_THAT(problem_of(check_certificate(good, encrypted_pem(key.get()), now)),
              HasSubstr("without a passphrase"));
}

TEST_F(CertificateCheck, ReadsTheLifetime) {
  const auto life = certificate_lifetime(self_signed(key, {.from = 1'600'000'000, .until = 4'102'444'800}));
  ASSERT_TRUE(life);
  EXPECT_EQ(life->from, 1'600'000'000);
  EXPECT_EQ(life->until, 4'102'444'800) << "past 2049 the certificate spells its times another way";
  EXPECT_FALSE(certificate_lifetime("nonsense"));
}

TEST_F(CertificateCheck, TellsKeysApartByTheirPublicHalf) {
  const auto fingerprint = key_fingerprint(private_pem(key.get()));
  ASSERT_TRUE(fingerprint);
  unsigned char* der = nullptr;
  const int size = i2d_PUBKEY(key.get(), &der);
  unsigned char digest[32];
  EVP_Digest(der, static_cast<std::size_t>(size), digest, nullptr, EVP_sha256(), nullptr);
  OPENSSL_free(der);
  std::string expected;
  for (unsigned char byte : digest) expected += fmt::format("{:02x}", byte);
  EXPECT_EQ(*fingerprint, expected);
  EXPECT_EQ(key_fingerprint("# a comment\n" + private_pem(key.get())), fingerprint);
  EXPECT_NE(key_fingerprint(private_pem(make_ec_key().get())), fingerprint);
  EXPECT_EQ(key_fingerprint("nonsense"), std::nullopt);
}

}  // namespace
}  // namespace cppworker
