// What a request costs: its work by the endpoint's formula, and how that compares with the cost that the
// autoscaler signed for it (protocol section 1; both in work units).
//
// The work goes into the books and the reports as the formula has it. But the formula reads a stranger's
// payload: a max_new_tokens of a billion would make everybody's wait too long, and, once served as a few
// tokens, the measured rate a fantasy. So for the queue it counts as no more than kMostTimesCost times the
// signed cost, where a signature covers one.
//
// Threads: the loop's.
#pragma once

#include <cstdint>
#include <optional>
#include <string_view>

#include "common/async.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// Clients estimate: of a prompt's tokens, say, as words or as characters. Ten times off is no estimate.
inline constexpr std::int64_t kMostTimesCost = 10;

// `cost`: AuthFields::cost, a JSON number, or a string that holds one. nullopt: it says nothing (zero, less,
// or no number).
std::optional<std::int64_t> cost_milli_units(std::string_view cost);

// What the queue counts a request as. `signed_cost`: in milli work units.
std::int64_t work_in_queue(std::int64_t work_milli, std::optional<std::int64_t> signed_cost);

// The formula over a large payload takes as long as checking it did: such requests are priced on the thread's
// checker, before admit(); all others inside it.
bool is_priced_aside(const Request& request);
Awaitable<> price_aside(ProxyThread& thread, Request& request);

// Fills in acceptance.work_milli, unless price_aside() did, and the signed cost.
void price(ProxyThread& thread, Request& request);

}  // namespace cppworker
