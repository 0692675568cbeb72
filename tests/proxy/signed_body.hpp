// Bodies as clients send them: with what the autoscaler's route answer holds, signed by the test's key
// (protocol sections 1 and 2). The signed text is written here once more, by the protocol's words, so that
// the proxy isn't measured by its own canonical_json.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "proxy/signature_verifier.hpp"
#include "tests/proxy/test_keys.hpp"

namespace cppworker {

// A route answer. Its texts go into JSON as they are: nothing in them may need an escape.
struct Route {
  std::uint64_t reqnum = 1;
  std::string url = "http://203.0.113.5:41234";
  std::string cost = "17";  // as JSON
  std::string endpoint = "group";
  std::optional<std::int64_t> request_idx;
  SignedText covers = SignedText::kFull;
  std::shared_ptr<EVP_PKEY> key = test_key();
};

std::string signature_of(const Route& route);  // base64

// {"auth_data": {…}, "payload": <payload>}, with what `more` adds at the end (", \"session_id\": null").
std::string wrapped_body(const Route& route, std::string_view payload, std::string_view more = {});
// The payload's members ("\"inputs\": \"x\"") with the auth members among them.
std::string flat_body(const Route& route, std::string_view payload_members);

}  // namespace cppworker
