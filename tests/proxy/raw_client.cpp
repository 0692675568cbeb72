#include "tests/proxy/raw_client.hpp"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdio>
#include <stdexcept>

namespace cppworker {
namespace {

UniqueFd connect_to(std::uint16_t port, const char* from) {
  UniqueFd fd(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  sockaddr_in address{};
  address.sin_family = AF_INET;
  if (::inet_pton(AF_INET, from, &address.sin_addr) != 1 ||
      ::bind(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error(std::string("cannot connect from ") + from);
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  // The kernel accepts for the listener: this waits for nobody.
  if (::connect(fd.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    throw std::runtime_error("cannot connect to the proxy");
  return fd;
}

std::string head_of(std::string_view method, std::string_view target, std::string_view more) {
  std::string head(method);
  head.append(" ").append(target).append(" HTTP/1.1\r\nHost: worker.example:3000\r\n").append(more);
  return head;
}

}  // namespace

RawClient::RawClient(std::uint16_t port, const char* address) : RawSocket(connect_to(port, address)) {}

std::string get_request(std::string_view target, std::string_view more) {
  return head_of("GET", target, more) + "\r\n";
}

std::string post_request(std::string_view target, std::string_view body, std::string_view more) {
  std::string request = head_of("POST", target, more);
  request += "Content-Length: " + std::to_string(body.size()) + "\r\n\r\n";
  return request.append(body);
}

std::string chunk(std::string_view data) {
  char size[24];
  std::snprintf(size, sizeof size, "%zx\r\n", data.size());
  return std::string(size).append(data).append("\r\n");
}

}  // namespace cppworker
