#include "proxy/endpoint_table.hpp"

#include <algorithm>

namespace cppworker {

Result<asio::ip::tcp::endpoint> server_endpoint(const Url& url) {
  boost::system::error_code error;
  auto address = asio::ip::make_address(url.host == "localhost" ? "127.0.0.1" : url.host, error);
  if (error)
    return fail("cannot use the inference server's URL " + url.text() +
                ": its host must be an IP address or localhost");
  return asio::ip::tcp::endpoint(address, url.port);
}

EndpointTable::EndpointTable(const BackendDefinition& backend, Ledger& ledger, std::uint64_t default_max_body,
                             int default_json_depth, std::size_t max_queue, const PlaceShare::With& places)
    : unsigned_requests_({.concurrency = kMostUnsigned, .queue_requests = 0}),
      unsigned_websockets_({.concurrency = kMostUnsignedWebSockets, .queue_requests = 0}) {
  AdmissionLimits shared;
  shared.concurrency = static_cast<std::size_t>(backend.max_concurrency);
  shared.queue_requests = max_queue;
  admissions_.emplace_back(shared, PlaceShare(ledger, ledger_layout::place_group(-1), places));
  for (const EndpointDefinition& definition : backend.endpoints) {
    Endpoint& endpoint = endpoints_.emplace_back();
    endpoint.definition = definition;
    endpoint.ledger_index = ledger.endpoint(definition.method + " " + definition.path);
    bool open = definition.auth == EndpointDefinition::Auth::kNone;
    std::uint64_t usual = open ? std::min(default_max_body, kLargestUnsignedBody) : default_max_body;
    endpoint.max_body =
        definition.max_body_bytes ? static_cast<std::uint64_t>(*definition.max_body_bytes) : usual;
    endpoint.max_json_depth = definition.max_json_depth.value_or(default_json_depth);
    endpoint.position = endpoints_.size() - 1;
    endpoint.admission = &admissions_.front();
    if (definition.server) endpoint.server = server_endpoint(*definition.server).value();
    if (definition.max_concurrency) {
      AdmissionLimits own = shared;
      own.concurrency = static_cast<std::size_t>(*definition.max_concurrency);
      // One that the ledger has no slot for has no group either.
      PlaceShare share;
      if (endpoint.ledger_index >= 0)
        share = PlaceShare(ledger, ledger_layout::place_group(endpoint.ledger_index), places);
      endpoint.admission = &admissions_.emplace_back(own, std::move(share));
    }
    by_path_[definition.path].push_back(&endpoint);
  }
}

EndpointTable::Found EndpointTable::find(std::string_view method, std::string_view path) const {
  Found found;
  auto entry = by_path_.find(path);
  if (entry == by_path_.end()) return found;
  const Endpoint* open_get = nullptr;
  bool has_head = false;
  for (const Endpoint* endpoint : entry->second) {
    const EndpointDefinition& definition = endpoint->definition;
    if (definition.method == method) {
      found.endpoint = endpoint;
      return found;
    }
    bool open = definition.auth == EndpointDefinition::Auth::kNone && !definition.websocket;
    if (definition.method == "GET" && open) open_get = endpoint;
    has_head = has_head || definition.method == "HEAD";
    found.allow += (found.allow.empty() ? "" : ", ") + definition.method;
  }
  if (method == "HEAD") found.endpoint = open_get;
  if (open_get != nullptr && !has_head) found.allow += ", HEAD";
  return found;
}

std::uint64_t EndpointTable::largest_body() const {
  std::uint64_t largest = 0;
  for (const Endpoint& endpoint : endpoints_) largest = std::max(largest, endpoint.max_body);
  return largest;
}

}  // namespace cppworker
