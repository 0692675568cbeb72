// The proxy's handshake with the inference server for one WebSocket. A connection of its own, which no pool
// ever gets: when the conversation ends it is spent.
#pragma once

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "proxy/active_request.hpp"
#include "proxy/message_heads.hpp"
#include "proxy/relay.hpp"
#include "proxy/upstream_pool.hpp"

namespace cppworker {

// From the request to the server's 101: it is given before the work, but by Python threads that compute.
inline constexpr std::chrono::seconds kUpstreamHandshake{30};
// Of the body of a refused upgrade: an error page is passed on; more than this is no error page.
inline constexpr std::size_t kLargestRefusedUpgrade = 64 * 1024;

struct WebSocketTarget {
  const RequestHead& client;
  asio::ip::tcp::endpoint server;
  std::string_view request_id;
  std::string_view target;  // without auth fields
  std::vector<std::string> protocols;
};

enum class UpgradeEnd {
  kOpen,
  kUnreachable,
  kNoAnswer,   // the connection ended, or the time
  kBadAnswer,  // neither a handshake nor HTTP
  kRefused,    // another status than 101
};

struct UpstreamUpgradeResult {
  UpgradeEnd end = UpgradeEnd::kUnreachable;
  std::unique_ptr<UpstreamConnection> connection;  // kOpen; what came behind the 101 is in its buffer
  std::string protocol;                            // kOpen: what the server chose
  ResponseHead refusal;                            // kRefused
  std::string refusal_body;
};

// `active` has the connection as its upstream meanwhile and, after kOpen, on return.
Awaitable<UpstreamUpgradeResult> upgrade_upstream(asio::any_io_executor executor,
                                                  const WebSocketTarget& target, const RelayLimits& limits,
                                                  ActiveRequest& active);

}  // namespace cppworker
