#include "proxy/signature_verifier.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <fstream>
#include <thread>
#include <nlohmann/json.hpp>

#include "proxy/canonical_json.hpp"
#include "test_keys.hpp"

namespace cppworker {
namespace {

using nlohmann::json;

const json& vectors() {
  static const json parsed =
      json::parse(std::ifstream(CPPWORKER_SOURCE_DIR "/tests/proxy/vectors/signing.json"));
  return parsed;
}

std::string base64(const std::string& bytes) {
  std::string out((bytes.size() + 2) / 3 * 4 + 1, '\0');
  int size =
      EVP_EncodeBlock(reinterpret_cast<unsigned char*>(out.data()),
                      reinterpret_cast<const unsigned char*>(bytes.data()), static_cast<int>(bytes.size()));
  out.resize(static_cast<std::size_t>(size));
  return out;
}

// A worker's view: keys, and what was found good before.
class Verifier {
 public:
  explicit Verifier(const std::vector<std::string>& pems) : ring_(KeyRing::from_pems(pems).value()) {}

  SignedText check(std::string_view body) {
    auto parsed = parse_envelope(body);
    if (!parsed) {
      ADD_FAILURE() << parsed.error().body;
      return SignedText::kNone;
    }
    return check_signature(parsed->auth, *ring_, verdicts_).covers;
  }
  std::size_t remembered() const { return verdicts_.size(); }

 private:
  std::shared_ptr<const KeyRing> ring_;
  VerdictCache verdicts_;
};

// The case's auth members as the client sends them, with what a url-only case lacks.
std::string auth_members(const json& vector) {
  auto sends = vector["client_sends"].get<std::string>();
  std::string members = sends.substr(1, sends.rfind('}') - 1);
  if (vector["covers"] == "url") members += R"(, "cost": 1, "endpoint": "e", "reqnum": 1)";
  return members + R"(, "signature": ")" + vector["signature"].get<std::string>() + "\"";
}
std::string flat(const std::string& members) {
  return "{" + members + R"(, "inputs": "x"})";
}
std::string wrapped(const std::string& members) {
  return R"({"auth_data": {)" + members + R"(}, "payload": {}})";
}

// A wrapped body signed by `key` over the text that `covers` names.
std::string signed_body(EVP_PKEY* key, SignedText covers, const std::string& url = "http://h:1",
                        const std::string& reqnum = "17") {
  std::string members = R"("cost":1,"endpoint":"e","reqnum":)" + reqnum + R"(,"url":")" + url + "\"";
  AuthFields auth;
  std::string quoted = "\"" + url + "\"";
  auth.cost = "1";
  auth.endpoint = "\"e\"";
  auth.reqnum = reqnum;
  auth.url = quoted;
  std::string text;
  if (covers == SignedText::kFull)
    append_full_text(text, auth);
  else
    append_url_text(text, auth);
  return wrapped(members + R"(,"signature":")" + base64(sign(key, text)) + "\"");
}

TEST(SignatureVerifier, AcceptsEveryKnownSignatureInBothShapes) {
  ASSERT_EQ(vectors()["cases"].size(), 31U);
  for (const json& vector : vectors()["cases"]) {
    auto expected = vector["covers"] == "full" ? SignedText::kFull : SignedText::kUrlOnly;
    Verifier verifier({vectors()["public_key"].get<std::string>()});
    EXPECT_EQ(verifier.check(flat(auth_members(vector))), expected) << vector["name"];
    Verifier other({vectors()["public_key"].get<std::string>()});
    EXPECT_EQ(other.check(wrapped(auth_members(vector))), expected) << vector["name"];
  }
}

TEST(SignatureVerifier, RebuildsEveryKnownText) {
  for (const json& vector : vectors()["cases"]) {
    std::string body = flat(auth_members(vector));
    auto parsed = parse_envelope(body);
    ASSERT_TRUE(parsed) << vector["name"];
    std::string text;
    if (vector["covers"] == "full")
      append_full_text(text, parsed->auth);
    else
      append_url_text(text, parsed->auth);
    EXPECT_EQ(text, vector["message"].get<std::string>()) << vector["name"];
  }
}

TEST(SignatureVerifier, AChangedFieldIsRefused) {
  for (const json& vector : vectors()["cases"]) {
    bool full = vector["covers"] == "full";
    Verifier verifier({vectors()["public_key"].get<std::string>()});
    std::string members = auth_members(vector);
    std::string other_url = members;
    other_url.replace(other_url.find("://"), 3, ":///");
    EXPECT_EQ(verifier.check(wrapped(other_url)), SignedText::kNone) << vector["name"];
    std::string other_reqnum = members;
    other_reqnum.insert(other_reqnum.find("\"reqnum\": ") + 10, "9");
    EXPECT_EQ(verifier.check(wrapped(other_reqnum)), full ? SignedText::kNone : SignedText::kUrlOnly)
        << vector["name"];
  }
}

TEST(SignatureVerifier, AUrlOnlyVerdictIsRememberedAndAFullOneIsNot) {
  Verifier verifier({pem_of(test_key().get())});
  EXPECT_EQ(verifier.check(signed_body(test_key().get(), SignedText::kFull)), SignedText::kFull);
  EXPECT_EQ(verifier.remembered(), 0U);
  std::string body = signed_body(test_key().get(), SignedText::kUrlOnly);
  EXPECT_EQ(verifier.check(body), SignedText::kUrlOnly);
  EXPECT_EQ(verifier.remembered(), 1U);
  EXPECT_EQ(verifier.check(body), SignedText::kUrlOnly);
  EXPECT_EQ(verifier.remembered(), 1U);
  // The remembered verdict holds for those bytes alone.
  std::string other = signed_body(test_key().get(), SignedText::kUrlOnly, "http://other:1");
  std::string forged = body;
  forged.replace(forged.find("http://h:1"), 10, "http://g:1");
  EXPECT_EQ(verifier.check(forged), SignedText::kNone);
  EXPECT_EQ(verifier.check(other), SignedText::kUrlOnly);
  EXPECT_EQ(verifier.remembered(), 2U);
}

TEST(SignatureVerifier, WrongSignaturesAreNotRemembered) {
  Verifier verifier({pem_of(test_key().get())});
  auto stranger = make_key(2048);
  for (auto covers : {SignedText::kFull, SignedText::kUrlOnly})
    EXPECT_EQ(verifier.check(signed_body(stranger.get(), covers)), SignedText::kNone);
  EXPECT_EQ(verifier.remembered(), 0U);
}

TEST(SignatureVerifier, ThePreviousKeyIsGoodWhileItIsInTheRing) {
  auto current = make_key(3072);
  std::string by_old = signed_body(test_key().get(), SignedText::kFull);
  std::string url_by_old = signed_body(test_key().get(), SignedText::kUrlOnly);
  Verifier both({pem_of(current.get()), pem_of(test_key().get())});
  EXPECT_EQ(both.check(by_old), SignedText::kFull);
  EXPECT_EQ(both.check(url_by_old), SignedText::kUrlOnly);
  EXPECT_EQ(both.check(signed_body(current.get(), SignedText::kFull)), SignedText::kFull);
  Verifier only_new({pem_of(current.get())});
  EXPECT_EQ(only_new.check(by_old), SignedText::kNone);
  EXPECT_EQ(only_new.check(url_by_old), SignedText::kNone);
  Verifier nobody({});
  EXPECT_EQ(nobody.check(by_old), SignedText::kNone);
}

TEST(SignatureVerifier, AVerdictDoesNotOutliveItsKey) {
  VerdictCache verdicts;
  std::string body = signed_body(test_key().get(), SignedText::kUrlOnly);
  auto parsed = parse_envelope(body);
  auto ring = KeyRing::from_pems({pem_of(test_key().get())}).value();
  EXPECT_EQ(check_signature(parsed->auth, *ring, verdicts).covers, SignedText::kUrlOnly);
  auto changed = KeyRing::from_pems({pem_of(make_key(2048).get())}).value();
  EXPECT_EQ(check_signature(parsed->auth, *changed, verdicts).covers, SignedText::kNone);
  // The same key sent again is the same key.
  auto again = KeyRing::from_pems({pem_of(test_key().get())}).value();
  EXPECT_EQ(again->keys()[0]->id(), ring->keys()[0]->id());
  EXPECT_EQ(check_signature(parsed->auth, *again, verdicts).covers, SignedText::kUrlOnly);
}

// Found good by the second key of a ring, it ends with the second.
TEST(SignatureVerifier, NorTheOldKeyWhereBothWereInTheRing) {
  VerdictCache verdicts;
  std::string body = signed_body(test_key().get(), SignedText::kUrlOnly);
  auto parsed = parse_envelope(body);
  std::string current = pem_of(make_key(2048).get());
  auto both = KeyRing::from_pems({current, pem_of(test_key().get())}).value();
  for (bool remembered : {false, true}) {
    CheckedSignature checked = check_signature(parsed->auth, *both, verdicts);
    EXPECT_EQ(checked.covers, SignedText::kUrlOnly);
    EXPECT_EQ(checked.remembered, remembered);
  }
  auto without_the_old = KeyRing::from_pems({current}).value();
  EXPECT_EQ(check_signature(parsed->auth, *without_the_old, verdicts).covers, SignedText::kNone);
}

TEST(SignatureVerifier, TheSignaturesBase64MayHaveEscapedSlashes) {
  std::string body = signed_body(test_key().get(), SignedText::kFull);
  std::size_t begin = body.find("\"signature\":\"") + 13;
  for (std::size_t at = begin; (at = body.find('/', at)) != std::string::npos; at += 2)
    body.replace(at, 1, "\\/");
  Verifier verifier({pem_of(test_key().get())});
  EXPECT_EQ(verifier.check(body), SignedText::kFull);
}

TEST(SignatureVerifier, SignaturesThatAreNoStrictBase64AreRefused) {
  Verifier verifier({pem_of(test_key().get())});
  std::string body = signed_body(test_key().get(), SignedText::kFull);
  std::size_t begin = body.find("\"signature\":\"") + 13;
  std::size_t end = body.find('"', begin);
  std::string signature = body.substr(begin, end - begin);
  ASSERT_TRUE(signature.ends_with("=="));
  // Without padding, with blanks, with a line end, with bits set that mean nothing, with rubbish behind.
  std::string loose = signature;
  ++loose[loose.size() - 3];
  for (std::string bad :
       {signature.substr(0, signature.size() - 2), " " + signature + "   ", signature + "\\n\\n\\n\\n", loose,
        signature + "AAAA", std::string(), std::string("====")}) {
    std::string changed = body;
    changed.replace(begin, end - begin, bad);
    EXPECT_EQ(verifier.check(changed), SignedText::kNone) << bad;
  }
}

TEST(SignatureVerifier, ManyThreadsCheckAtOnce) {
  auto other = make_key(2048);
  auto ring = KeyRing::from_pems({pem_of(test_key().get()), pem_of(other.get())}).value();
  VerdictCache verdicts;
  std::vector<std::string> bodies;
  for (int i = 0; i < 8; ++i)
    bodies.push_back(signed_body((i % 2 == 0 ? test_key() : other).get(),
                                 i % 4 < 2 ? SignedText::kFull : SignedText::kUrlOnly, "http://h:1",
                                 std::to_string(i)));
  std::vector<std::thread> threads;
  std::atomic<int> wrong = 0;
  for (int t = 0; t < 4; ++t)
    threads.emplace_back([&] {
      for (int round = 0; round < 50; ++round)
        for (std::size_t i = 0; i < bodies.size(); ++i) {
          auto parsed = parse_envelope(bodies[i]);
          auto expected = i % 4 < 2 ? SignedText::kFull : SignedText::kUrlOnly;
          if (!parsed || check_signature(parsed->auth, *ring, verdicts).covers != expected) ++wrong;
        }
    });
  for (auto& thread : threads) thread.join();
  EXPECT_EQ(wrong, 0);
  EXPECT_EQ(verdicts.size(), 2U);
}

}  // namespace
}  // namespace cppworker
