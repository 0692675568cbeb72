// The operator's HTTP server: /metrics for Prometheus, /livez, /readyz, /startupz and /status. On loopback by
// default, in the supervisor, and so never behind the queue of the model or a proxy that hangs.
//
// Answers GET and HEAD, one request a connection; 500 where a page throws. Threads: the supervisor's loop;
// pages are made on it.
#pragma once

#include <functional>
#include <map>
#include <string>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "common/async.hpp"
#include "common/result.hpp"

namespace cppworker {

struct AdminAnswer {
  int status = 200;
  std::string content_type = "application/json";
  std::string body;
};

using AdminPages = std::map<std::string, std::function<AdminAnswer()>, std::less<>>;

// "cannot listen on 127.0.0.1:3002: Address already in use …". Port 0 takes a free one.
Result<asio::ip::tcp::acceptor> open_listener(asio::io_context& io, const std::string& address,
                                              std::uint16_t port);

// Serves until the acceptor is closed.
Awaitable<> run_admin_server(asio::ip::tcp::acceptor& acceptor, AdminPages pages);
Awaitable<> run_admin_server(asio::local::stream_protocol::acceptor& acceptor, AdminPages pages);

}  // namespace cppworker
