// How many clients' connections the limit of descriptors has room for. Pure.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>

#include "metrics/ledger_layout.hpp"
#include "proxy/endpoint_table.hpp"

namespace cppworker {

// A client's connection is one descriptor, and a second one, to the inference server, while its request is
// there: those are bounded by the books. The rest is for what the process has open anyway, and for
// connections to the server that are kept.
inline std::int64_t affordable_connections(std::size_t descriptors) {
  constexpr std::size_t kOthers = 128;
  constexpr std::size_t kMostInFlight = ledger_layout::kSlots + kMostUnsigned + kMostUnsignedWebSockets;
  const std::size_t left = descriptors - std::min(descriptors, kOthers);
  const std::size_t each_with_a_request = left / 2;
  const std::size_t more_than_can_have_one = left - std::min(left, kMostInFlight);
  return static_cast<std::int64_t>(std::max({each_with_a_request, more_than_can_have_one, std::size_t{1}}));
}

}  // namespace cppworker
