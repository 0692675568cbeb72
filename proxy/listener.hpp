// Accepts connections on the socket that the supervisor opened, and deals them out to the threads in turn.
//
// Threads: accepts on the first thread's io_context; each connection lives on the one that it was dealt to.
#pragma once

#include <memory>
#include <vector>
#include <boost/asio/ip/tcp.hpp>

#include "common/async.hpp"
#include "proxy/own_routes.hpp"
#include "proxy/proxy_core.hpp"

namespace cppworker {

// The inference server's connections for ending sessions: they have places of their own, so that those who
// fill the public port don't keep it from that. Each is there for one short request.
inline constexpr std::size_t kMostSessionConnections = 32;

// Runs until the acceptor is closed. Only the public door has TLS, where there is any.
Awaitable<> run_listener(asio::ip::tcp::acceptor& acceptor,
                         std::vector<std::unique_ptr<ProxyThread>>& threads, Door door);

}  // namespace cppworker
