// Bodies taken apart (envelope.hpp) without holding up the other connections of their thread: a large one
// takes up to half a second and comes from somebody who hasn't shown a signature yet, and so is done on the
// thread's checker (checker.hpp), one at a time. They are taken in fair order (fair_turns.hpp): however many
// of them one address sends, another one's waits for one of them.
//
// Nothing of a large body is believed before all of it is checked, its signature least of all, although
// clients write auth_data first: a member that comes later may make it another one's (a flat body wrapped),
// and what is found out early would only tell strangers apart that fair order tells apart as well.
//
// Threads: the loop's; the body must live until the answer.
#pragma once

#include <string_view>

#include "common/async.hpp"
#include "proxy/checker.hpp"
#include "proxy/envelope.hpp"

namespace cppworker {

// `client` sent it. `max_depth` as take_apart() has it.
Awaitable<EnvelopeResult> check_body(ProxyThread& thread, const ClientShares::Place& client, int max_depth,
                                     std::string_view body);

}  // namespace cppworker
