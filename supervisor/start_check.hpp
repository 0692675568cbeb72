// What is looked at before anything is started, beyond what settings and backend are checked for by
// themselves: whether the two go together, and whether the key that a setting names is one. A reload asks the
// first of these again: endpoints may bring servers of their own along.
//
// Errors are bad settings, in one line: where it stands, what is wrong, what helps.
#pragma once

#include "common/result.hpp"
#include "launchers/backend_definition.hpp"
#include "supervisor/settings.hpp"

namespace cppworker {

// The inference server on a port that the worker listens on: one of the two would fail, or the proxy would
// forward to itself. `backend` as its file has it; /server_url moves its server, and the further ports along.
Result<void> check_server_ports(const Settings& settings, const BackendDefinition& backend);

// The same of a reload: of what was read, which is what the next start is refused for; and of what comes to
// apply now, beside the ports that stay as they are until then.
Result<void> check_reloaded_ports(const Settings& present, const BackendDefinition& present_backend,
                                  const Settings& read, const BackendDefinition& read_backend);

// A file that can't be read, or holds no usable key: it doesn't get better by itself. What a URL gives is
// known later, and asked for again and again.
Result<void> check_public_key_file(const Settings& settings);

}  // namespace cppworker
