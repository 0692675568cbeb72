#include "proxy/signature_verifier.hpp"

#include <array>
#include <optional>
#include <span>

#include "common/logging.hpp"
#include "proxy/base64.hpp"
#include "proxy/canonical_json.hpp"

namespace cppworker {
namespace {

using SignatureBytes = std::array<unsigned char, RsaKey::kLongestSignature>;

// `value` is a JSON string; some encoders write base64's slash as "\/".
std::optional<std::span<const unsigned char>> decode_signature(std::string_view value,
                                                               SignatureBytes& bytes) {
  std::string unescaped;
  std::string_view text = value.substr(1, value.size() - 2);
  if (text.find('\\') != std::string_view::npos) {
    append_json_string(unescaped, value);
    text = unescaped;
  }
  auto size = decode_base64(text, bytes);
  if (!size) return std::nullopt;
  return std::span<const unsigned char>(bytes.data(), *size);
}

}  // namespace

Result<std::shared_ptr<const KeyRing>> KeyRing::from_pems(const std::vector<std::string>& pems) {
  auto ring = std::make_shared<KeyRing>();
  std::optional<Error> problem;
  for (const std::string& pem : pems) {
    auto key = RsaKey::from_pem(pem);
    if (key)
      ring->keys_.push_back(std::move(*key));
    else
      problem = key.error();
  }
  if (problem && ring->keys_.empty()) return *problem;
  if (problem) spdlog::error("{}; {} other key is used", problem->message, ring->keys_.size());
  return std::shared_ptr<const KeyRing>(std::move(ring));
}

CheckedSignature check_signature(const AuthFields& auth, const KeyRing& keys, VerdictCache& verdicts) {
  if (auth.signature.size() < 2 || auth.url.empty()) return {};
  for (const auto& key : keys.keys())
    if (verdicts.contains(key->id(), auth.url, auth.signature)) return {SignedText::kUrlOnly, true};

  SignatureBytes bytes;
  auto signature = decode_signature(auth.signature, bytes);
  if (!signature) return {};
  bool full_possible = !auth.cost.empty() && !auth.endpoint.empty() && !auth.reqnum.empty();
  for (const auto& key : keys.keys()) {
    // The digest that was signed comes out of the signature, so one RSA operation decides about both texts.
    auto digest = key->recover(*signature);
    if (!digest) continue;
    thread_local std::string text;
    text.clear();
    if (full_possible) append_full_text(text, auth);
    if (full_possible && *digest == sha256(text)) return {SignedText::kFull};
    text.clear();
    append_url_text(text, auth);
    if (*digest == sha256(text)) {
      verdicts.insert(key->id(), auth.url, auth.signature);
      return {SignedText::kUrlOnly};
    }
  }
  return {};
}

}  // namespace cppworker
