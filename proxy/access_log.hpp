// The end of each request, as an operator finds it: its status counted in /metrics, and, where the setting
// proxy/access_log asks for it, a line of JSON in the log:
//
//   {"time":"2026-01-02T03:04:05.678Z","request_id":"…","client":"203.0.113.7","method":"POST",
//    "path":"/generate","status":200,"bytes":1234,"first_byte_s":0.25,"seconds":1.5,"outcome":"served"}
//
// `time` is that of the end, which is the connection's where that is closed behind the answer; `bytes` what
// was sent, heads included; `seconds` begin with the request's head, and `first_byte_s` when it is sent to
// the inference server. Status 499 (protocol section 3): the client went away before it had the whole answer.
// A WebSocket is one request, of status 101. Never in it: queries, headers, bodies, signatures.
//
// Threads: its request's. The line goes where the worker's own log goes, with all that bounds it there;
// without the setting nothing is looked up and nothing is written.
#pragma once

#include <string>
#include <string_view>
#include <boost/asio/ip/tcp.hpp>

#include "proxy/connection.hpp"
#include "proxy/proxy_core.hpp"
#include "proxy/request.hpp"

namespace cppworker {

// For ProxyCore::access_log: lines on stderr, beside those of the log.
AccessLog access_log_on_stderr();

// Lives as long as the request is worked on; `request` outlives it.
class EndOfRequest {
 public:
  EndOfRequest(const Connection& connection, ProxyThread& thread, const Request& request);
  ~EndOfRequest();
  EndOfRequest(const EndOfRequest&) = delete;
  EndOfRequest& operator=(const EndOfRequest&) = delete;

 private:
  std::string line() const;

  const Connection& connection_;
  ProxyThread& thread_;
  const Request& request_;
  boost::asio::ip::address client_;  // while there is a log
};

}  // namespace cppworker
