#include "tests/proxy/scripted_server.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/socket.h>

#include <stdexcept>

namespace cppworker {
namespace {

// More connections than any test lets wait.
constexpr int kBacklog = 512;

sockaddr_in on_loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

// On loopback; port 0 is any. Both of a server's sockets say that they share the address: the kernel allows
// it while one of them, at most, listens.
UniqueFd bind_to(std::uint16_t port) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int on = 1;
  ::setsockopt(fd.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = on_loopback(port);
  if (::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot bind the scripted server");
  return fd;
}

bool wait_for_connection(int listener, std::chrono::milliseconds limit) {
  pollfd watched{listener, POLLIN, 0};
  return ::poll(&watched, 1, static_cast<int>(limit.count())) > 0;
}

}  // namespace

void UpstreamConnectionInTest::answer(int status, std::string_view body, std::string_view more) {
  std::string response = "HTTP/1.1 " + std::to_string(status) + " Answer\r\n";
  response.append(more);
  response += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  send(response.append(body));
}

ScriptedServer::ScriptedServer() : reservation_(bind_to(0)) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(reservation_.get(), reinterpret_cast<sockaddr*>(&address), &size);
  port_ = ntohs(address.sin_port);
  listen_again();
}

UpstreamConnectionInTest ScriptedServer::accept() {
  if (!wait_for_connection(listener_.get(), kHangGuard))
    throw std::runtime_error("the proxy didn't connect to the server");
  return UpstreamConnectionInTest(UniqueFd(::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC)));
}

bool ScriptedServer::is_called() const {
  return wait_for_connection(listener_.get(), std::chrono::milliseconds(0));
}

void ScriptedServer::stop_listening() {
  listener_.reset();
}

void ScriptedServer::listen_again() {
  listener_ = bind_to(port_);
  if (::listen(listener_.get(), kBacklog) != 0) throw std::runtime_error("cannot listen");
}

// A queue of length 0 has room for one; further SYNs are dropped without a word (Linux).
void ScriptedServer::stop_accepting() {
  sockaddr_in address = on_loopback(port_);
  filler_ = UniqueFd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (::listen(listener_.get(), 0) != 0 ||
      ::connect(filler_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot fill the server's queue");
}

}  // namespace cppworker
