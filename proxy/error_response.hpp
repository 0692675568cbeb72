// Answers that the proxy makes itself: one JSON format, one place where a refusal becomes a status (protocol
// section 3).
#pragma once

#include <string>
#include <string_view>

namespace cppworker {

// A refused or failed request. Values, not exceptions: a stranger's bad request is no surprise.
struct Refusal {
  int status = 0;
  std::string body;          // JSON
  int retry_after_s = 0;     // 0: no Retry-After header
  std::string allow;         // 405: the methods that the path has
  bool close = false;        // the connection can't be used any further
  bool bodies_full = false;  // 503: the bodies of others fill the memory that there is for them
};

// {"error": <text>}; the text says which component refused and never repeats what the client sent.
Refusal refuse(int status, std::string_view text);

// The whole response, ready to be written. `request_id` is echoed.
std::string refusal_response(const Refusal& refusal, bool keep_alive, std::string_view request_id);

// GET /ping (protocol section 6): the proxy answers.
std::string ping_response(bool keep_alive, bool head_alone = false);

// "Unauthorized" for 401.
std::string_view reason_phrase(int status);

}  // namespace cppworker
