// One HTTP exchange with a server that we trust to some degree: the autoscaler, an inference server's health
// route. Not for relaying clients' requests: those have a pool and a relay of their own in proxy/.
//
// Threads: runs on the executor of the awaiting coroutine. Bounded in time and in bytes. Certificates of
// https servers are verified against the system's store, and the name against the URL's host. No redirects.
#pragma once

#include <chrono>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "common/async.hpp"
#include "common/name_lookup.hpp"
#include "common/result.hpp"
#include "common/url.hpp"

namespace cppworker {

struct HttpRequest {
  std::string method = "GET";
  Url server;
  std::string target = "/";  // path and query, sent as it is; the URL's own path is not put before it
  std::string content_type;  // only with a body
  std::string body;
  std::vector<std::pair<std::string, std::string>> headers;  // further ones: {"Authorization", "Bearer …"}
};

struct HttpResponse {
  int status = 0;
  std::string content_type;
  std::string body;

  bool ok() const { return status >= 200 && status < 300; }
};

// The response, whatever its status, or why there was none. `limit` covers everything from name lookup to the
// body's last byte; `largest_body` guards against a server that never stops sending; `names` is another than
// the system's in tests alone.
Awaitable<Result<HttpResponse>> http_exchange(HttpRequest request, std::chrono::milliseconds limit,
                                              std::size_t largest_body = 1 << 20,
                                              NameService names = system_names);

}  // namespace cppworker
