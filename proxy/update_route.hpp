// POST /pyworker/update (protocol section 6): whoever holds the master token has the instance updated.
//
// The proxy doesn't have that token, since it parses strangers' bytes: it knows a digest of it, which came
// over the control socket and lies in no file. The supervisor makes the file that asks for the update.
#pragma once

#include "proxy/error_response.hpp"
#include "proxy/message_heads.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

// 200 or 401. Both are counted: many refusals are somebody who tries.
Refusal request_update(const RequestHead& head, ProxyThread& thread);

}  // namespace cppworker
