// What the proxy has open now, for its gauges (metrics/ledger_open_now.hpp). Takes each admission's lock for
// a moment. Threads: any.
#pragma once

#include "metrics/ledger_open_now.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

inline OpenNow open_now(ProxyCore& core) {
  OpenNow now;
  now.connections = static_cast<std::uint64_t>(core.connections.load(std::memory_order_relaxed));
  for (const Admission& admission : core.endpoints.admissions()) {
    now.waiting_requests += admission.queued();
    now.waiting_bytes += admission.queued_bytes();
  }
  now.buffered_bytes = core.bodies.used();
  return now;
}

}  // namespace cppworker
