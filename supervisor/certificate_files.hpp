// What certificates are made of: our key, the request that asks for a certificate, and whether what came back
// is one for our key. OpenSSL alone, no network; PEM in and out.
//
// Threads: any. make_key takes a few 100 ms of computing. Errors never quote what they complain about: an
// answer, or a file, may hold a secret.
#pragma once

#include <ctime>
#include <optional>
#include <string>
#include <string_view>

#include "common/result.hpp"

namespace cppworker {

// The largest key or chain that is read or taken: a chain of ten certificates has 20 kB.
inline constexpr std::size_t kLargestPem = 64 * 1024;

// RSA with 2048 bits, as the signing service asks for, PKCS #8 without a passphrase.
Result<std::string> make_key();

// In one step, for the owner's eyes alone (mode 0600).
Result<void> write_key_file(const std::string& path, std::string_view key_pem);

// PKCS #10 in PEM: CN pyworker.vast.ai, C US, ST CA, SAN IP:0.0.0.0, signed with SHA-256.
Result<std::string> make_certificate_request(std::string_view key_pem);

// Whether `pem` begins with a certificate for the key, with nothing broken behind it, that hasn't expired.
// One that isn't valid yet passes: its issuer's clock may be a little ahead of ours, and clients go by
// theirs.
Result<void> check_certificate(std::string_view pem, std::string_view key_pem, std::time_t now);

struct CertificateLifetime {
  std::time_t from = 0, until = 0;
};
// Of the first certificate; nullopt when there is none.
std::optional<CertificateLifetime> certificate_lifetime(std::string_view pem);

// Tells keys apart without showing them: SHA-256 of the public half, in hexadecimal. nullopt: not a key.
std::optional<std::string> key_fingerprint(std::string_view key_pem);

}  // namespace cppworker
