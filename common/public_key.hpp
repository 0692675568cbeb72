// Says which public keys can be used for checking the autoscaler's signatures. The supervisor asks before it
// takes a fetched key for the one to use, the proxy before it checks with it: both must say the same.
//
// Pure; any thread.
#pragma once

#include <memory>
#include <string_view>

#include "common/result.hpp"

struct evp_pkey_st;

namespace cppworker {

// Sizes that the autoscaler's key may have (protocol section 1): smaller ones can be broken, larger ones make
// each forged signature an expense.
inline constexpr int kLeastKeyBits = 2048;
inline constexpr int kMostKeyBits = 8192;
// An 8192-bit key's PEM has 1.5 kB.
inline constexpr std::size_t kLongestKeyPem = 16 * 1024;

// PEM as GET /pubkey/ answers it, to OpenSSL's key. "cannot use the public key: it has 1024 bits …".
Result<std::shared_ptr<evp_pkey_st>> parse_public_key(std::string_view pem);

}  // namespace cppworker
