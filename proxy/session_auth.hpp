// By what a session is recognised: the id that the worker made, and the auth_data that created it.
//
// session_auth must equal that auth_data (protocol section 5) as JSON values: clients parse the auth_data and
// write it again, so that the order of members, blanks, escapes and the spelling of numbers may be others.
// Both sides are brought into one spelling, of which a SHA-256 digest is taken; digests are compared in
// constant time. So a comparison tells nothing about the signature in there, and the ledger keeps 32 bytes to
// compare with.
//
// Equal are: objects with the same members in any order (of repeated ones the last counts), strings of the
// same characters, 1 and 1.0 and 10e-1; not equal are "1" and 1, true and 1, null and a missing member.
// Integers are compared in full, doubles as the doubles that they mean.
//
// Pure but for the generator; any thread.
#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>

#include "common/result.hpp"
#include "metrics/ledger_sessions.hpp"

namespace cppworker {

// Of a JSON value as it stands in a validated body. nullopt: far longer than what a session can keep, or
// nested deeper than any auth_data is; nothing of that kind creates a session or opens one.
std::optional<SessionDigest> digest_auth_data(std::string_view auth_data);

// False without a digest.
bool same_auth_data(const SessionDigest& session, const std::optional<SessionDigest>& given);

// Fills the bytes with what nobody can foretell; false: it can't.
using RandomBytes = std::function<bool(std::span<unsigned char>)>;
bool secure_random_bytes(std::span<unsigned char> bytes);

// 13 letters and digits, 77 bits: nobody finds another one's session by trying.
Result<std::string> make_session_id(const RandomBytes& random = secure_random_bytes);

}  // namespace cppworker
