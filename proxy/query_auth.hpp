// Auth fields in the query of a WebSocket's target, for clients that can't send them first in a message
// (a browser that speaks to a server as it is):
//   /api/v1/stream?signature=…&cost=…&endpoint=…&reqnum=…&url=…[&request_idx=…]
//
// A query has no types, so they follow from the text: `cost`, `reqnum` and `request_idx` are numbers where
// they look like JSON's, all else are strings. They come out as JSON, for parse_envelope to check as it
// checks those of a body: one place decides what is missing, wrong or too long. Pure, any thread.
#pragma once

#include <string>
#include <string_view>

#include "proxy/envelope.hpp"

namespace cppworker {

struct QueryAuth {
  // There is a signature. Without one the other names mean nothing here, and stay in the target.
  bool given = false;
  std::string auth_data = "{}";  // JSON
  std::string target;            // without the auth fields and api_key; all other bytes as they came

  // What parse_envelope takes.
  std::string envelope() const;
};

// What the longest fields need, with room for percent signs; the limit on a request's head is of this size.
inline constexpr std::size_t kLongestAuthTarget = 16 * 1024;

// Refuses a field that comes twice (however it is spelled), malformed percent encoding in one, and a target
// that is too long. Of other members nothing is read.
using QueryAuthResult = boost::system::result<QueryAuth, EnvelopeError>;
QueryAuthResult take_query_auth(std::string_view target);

}  // namespace cppworker
