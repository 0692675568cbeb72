// What is kept of a secret token by who has to recognise it, and needn't say it: its SHA-256. For tokens that
// nobody can guess; a word that is in a dictionary can be found from its digest.
//
// Pure; any thread.
#pragma once

#include <string>
#include <string_view>

namespace cppworker {

// 64 hexadecimal digits.
std::string token_digest(std::string_view token);

// In a time that tells nothing of how much of the digest is right. False for an empty `digest`: no token is
// known, so none is good.
bool is_token_of(std::string_view digest, std::string_view token);

}  // namespace cppworker
