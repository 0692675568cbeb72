// Says whether the autoscaler signed a request, and which of the two texts it signed (protocol section 2):
// neither shape of a request tells, so it is found by checking.
//
// What follows from the answer (replay window, own URL) is not decided here.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "common/result.hpp"
#include "proxy/envelope.hpp"
#include "proxy/rsa_key.hpp"
#include "proxy/verdict_cache.hpp"

namespace cppworker {

// The keys that are valid now: the current one and, for the overlap after a change, the one before.
// Immutable: share it as std::shared_ptr<const KeyRing> and swap the pointer.
class KeyRing {
 public:
  // Newest first. An empty list is a ring that knows nobody: every signature is wrong. A key that can't be
  // used is left out, and logged: the other goes on to be good. An error when none of them can be used.
  static Result<std::shared_ptr<const KeyRing>> from_pems(const std::vector<std::string>& pems);

  const std::vector<std::shared_ptr<const RsaKey>>& keys() const { return keys_; }

 private:
  std::vector<std::shared_ptr<const RsaKey>> keys_;
};

enum class SignedText { kNone, kFull, kUrlOnly };

struct CheckedSignature {
  SignedText covers = SignedText::kNone;  // kNone: the signature is missing, malformed or wrong
  bool remembered = false;                // the verdict was known already
};

// Any thread. Costs a look-up for a url-only signature that was seen before, else one RSA operation a key,
// for a good signature and a forged one alike.
CheckedSignature check_signature(const AuthFields& auth, const KeyRing& keys, VerdictCache& verdicts);

}  // namespace cppworker
