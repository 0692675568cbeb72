// Bodies taken apart (envelope.hpp) without holding up the other connections of their thread. A small one is
// done sooner than it could be handed over; a large one, which takes up to half a second and comes from
// somebody who hasn't shown a signature yet, is done on the thread's checker, one at a time.
//
// What waits for the checker needs no bound of its own: each is a body past what BodyBuffer gives for
// nothing, and all of these together are bounded by the memory budget. They are taken in fair order
// (fair_turns.hpp): however many of them one address sends, another one's waits for one of them.
//
// Nothing of a large body is believed before all of it is checked, its signature least of all, although
// clients write auth_data first: a member that comes later may make it another one's (a flat body wrapped),
// and what is found out early would only tell strangers apart that fair order tells apart as well.
//
// Threads: the loop's; the body must live until the answer.
#pragma once

#include <string_view>

#include "common/async.hpp"
#include "proxy/envelope.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

// Around a millisecond of checking.
inline constexpr std::size_t kCheckedInPlace = 256 * 1024;

// `client` sent it.
Awaitable<EnvelopeResult> check_body(ProxyThread& thread, const ClientShares::Place& client,
                                     std::string_view body);

}  // namespace cppworker
