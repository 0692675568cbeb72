// Rebuilds the text that the autoscaler signed from the values that the client sent: the spelling of Python's
// json.dumps(…, indent=4) (protocol section 2).
//
// The values are slices of valid JSON, checked by parse_envelope. Appends to `out`, which the caller may
// reuse from request to request. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "proxy/envelope.hpp"

namespace cppworker {

// {"cost", "endpoint", "reqnum", "url"}: all four must be there.
void append_full_text(std::string& out, const AuthFields& auth);

// {"url"}, which must be there.
void append_url_text(std::string& out, const AuthFields& auth);

// One string or number in Python's spelling: what the two above put after a name.
void append_python_value(std::string& out, std::string_view value);

}  // namespace cppworker
