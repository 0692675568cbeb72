// What the autoscaler signs, and how: Python's spelling of json.dumps(…, indent=4), RSA PKCS#1 v1.5 with
// SHA-256 (protocol section 2). Written apart from the proxy's verifier on purpose: a mistake must not cancel
// out.
#pragma once

#include <memory>
#include <string>
#include <nlohmann/json.hpp>

struct evp_pkey_st;

namespace cppworker::stand_ins {

// The four signed members of a route, in the order of the signed text; with `only_url` that one alone.
std::string signed_text(const nlohmann::ordered_json& route, bool only_url);

// An integer, a double as Python's repr has it, or a string.
std::string python_spelling(const nlohmann::ordered_json& value);

class RouteSigner {
 public:
  // With the private key of a PEM file, or a new RSA-2048 key when the name is empty. Throws
  // std::runtime_error.
  explicit RouteSigner(const std::string& key_file);

  std::string public_key_pem() const;
  std::string sign(const std::string& text) const;  // base64

 private:
  std::shared_ptr<evp_pkey_st> key_;
};

}  // namespace cppworker::stand_ins
