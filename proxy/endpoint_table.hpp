// What the proxy serves: the backend's endpoints, found by method and path.
//
// Threads: built before the threads start, read-only afterwards, but for the admissions, which are made for
// sharing.
#pragma once

#include <cstdint>
#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>
#include <boost/asio/ip/tcp.hpp>

#include "launchers/backend_definition.hpp"
#include "metrics/ledger.hpp"
#include "proxy/admission.hpp"

namespace cppworker {

// Requests without a signature that are with the inference server at once, over all endpoints that ask for
// none: they are for looking at its health, which few do and which takes milliseconds, and anybody may send
// them. More are refused at once.
inline constexpr std::size_t kMostUnsigned = 16;
// WebSockets of such endpoints stay as long as somebody says something: counted apart, so that they don't
// keep out who looks at the server's health.
inline constexpr std::size_t kMostUnsignedWebSockets = 64;
// And the largest body of such an endpoint, unless the backend says otherwise. It is read before it is known
// whether anybody answers for it.
inline constexpr std::uint64_t kLargestUnsignedBody = 64 * 1024;

struct Endpoint {
  EndpointDefinition definition;
  int ledger_index = -1;           // its counters
  std::uint64_t max_body = 0;      // bytes
  int max_json_depth = 0;          // of its body
  std::size_t position = 0;        // in the definition: where each thread keeps its workload evaluator
  Admission* admission = nullptr;  // of signed requests: its own, or the one of all that have none
  std::optional<asio::ip::tcp::endpoint> server;  // its own, beside the backend's
};

// The address in the URL of a server on loopback, which names an IP address or localhost.
Result<asio::ip::tcp::endpoint> server_endpoint(const Url& url);

class EndpointTable {
 public:
  // `places`: whom the limits of requests at once are shared with.
  EndpointTable(const BackendDefinition& backend, Ledger& ledger, std::uint64_t default_max_body,
                int default_json_depth, std::size_t max_queue, const PlaceShare::With& places = {});

  struct Found {
    const Endpoint* endpoint = nullptr;
    std::string allow;  // when the path exists with other methods alone: those
  };
  // A HEAD that isn't declared finds the GET, whose head it asks for (RFC 9110 section 9.3.2), where that
  // needs no signature, which a HEAD can't bring.
  Found find(std::string_view method, std::string_view path) const;

  const std::deque<Endpoint>& all() const { return endpoints_; }
  std::uint64_t largest_body() const;  // that any of them takes
  std::deque<Admission>& admissions() { return admissions_; }
  // Of the requests that need no signature to that endpoint.
  Admission& unsigned_admission(const Endpoint& endpoint) {
    return endpoint.definition.websocket ? unsigned_websockets_ : unsigned_requests_;
  }

 private:
  std::deque<Admission> admissions_;  // the first is the backend's
  Admission unsigned_requests_, unsigned_websockets_;
  std::deque<Endpoint> endpoints_;
  std::map<std::string, std::vector<const Endpoint*>, std::less<>> by_path_;
};

}  // namespace cppworker
