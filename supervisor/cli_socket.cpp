#include "supervisor/cli_socket.hpp"

#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace cppworker {

std::string cli_socket_path(const std::string& run_dir) {
  return run_dir + "/cli.sock";
}

Result<asio::local::stream_protocol::endpoint> cli_endpoint(const std::string& run_dir) {
  const std::string path = cli_socket_path(run_dir);
  if (path.size() >= sizeof(sockaddr_un::sun_path))
    return fail("cannot use the socket " + path + ": its path is longer than " +
                std::to_string(sizeof(sockaddr_un::sun_path) - 1) + " bytes; choose a shorter --run-dir");
  return asio::local::stream_protocol::endpoint(path);
}

Result<CliAcceptor> open_cli_socket(asio::io_context& io, const std::string& run_dir) {
  const auto endpoint = cli_endpoint(run_dir);
  if (!endpoint) return endpoint.error();
  const std::string path = cli_socket_path(run_dir);
  ::unlink(path.c_str());
  CliAcceptor acceptor(io);
  boost::system::error_code error;
  acceptor.open(endpoint->protocol(), error);
  if (!error) acceptor.bind(*endpoint, error);
  // Nobody can connect before listen(): there is no moment in which the mode is another one.
  if (!error && ::chmod(path.c_str(), 0600) != 0) error.assign(errno, boost::system::system_category());
  if (!error) acceptor.listen(asio::socket_base::max_listen_connections, error);
  if (error) return fail("cannot listen on " + path + ": " + error.message());
  return acceptor;
}

}  // namespace cppworker
