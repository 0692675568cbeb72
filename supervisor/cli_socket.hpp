// The Unix socket in the run directory on which a worker answers `cppworker status`, `logs` and `why`.
//
// HTTP, by the admin server with its limits of connections, sizes and time. Only the worker's user and root
// can connect (mode 0600), so that the pages may show what the inference server prints. Not
// control_socket.hpp: that one joins supervisor and proxy.
#pragma once

#include <string>
#include <boost/asio/io_context.hpp>
#include <boost/asio/local/stream_protocol.hpp>

#include "common/result.hpp"

namespace cppworker {

namespace asio = boost::asio;
using CliAcceptor = asio::local::stream_protocol::acceptor;

std::string cli_socket_path(const std::string& run_dir);
// An error when the path is longer than a socket's may be (107 bytes).
Result<asio::local::stream_protocol::endpoint> cli_endpoint(const std::string& run_dir);

// The caller holds the run directory: a socket that lies there is a dead worker's, and is replaced.
Result<CliAcceptor> open_cli_socket(asio::io_context& io, const std::string& run_dir);

}  // namespace cppworker
