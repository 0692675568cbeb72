#include "tests/bench/sockets.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include <cerrno>
#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iterator>

namespace cppworker::bench {
namespace {

// Thousands of clients may connect at the same moment.
constexpr int kBacklog = 16384;

sockaddr_in loopback(std::uint16_t port) {
  sockaddr_in address{};
  address.sin_family = AF_INET;
  address.sin_port = htons(port);
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return address;
}

std::string cause() {
  return std::strerror(errno);
}

}  // namespace

UniqueFd listen_on_loopback(std::uint16_t port) {
  UniqueFd listener(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  int on = 1;
  ::setsockopt(listener.get(), SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
  sockaddr_in address = loopback(port);
  if (::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0 ||
      ::listen(listener.get(), kBacklog) != 0)
    give_up("cannot listen on port " + std::to_string(port) + ": " + cause());
  return listener;
}

std::uint16_t port_of(const UniqueFd& listener) {
  sockaddr_in address{};
  socklen_t size = sizeof address;
  ::getsockname(listener.get(), reinterpret_cast<sockaddr*>(&address), &size);
  return ntohs(address.sin_port);
}

UniqueFd connect_to_loopback(std::uint16_t port) {
  UniqueFd socket(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
  if (!socket) give_up("cannot open a socket: " + cause());
  sockaddr_in address = loopback(port);
  if (::connect(socket.get(), reinterpret_cast<sockaddr*>(&address), sizeof address) != 0)
    give_up("cannot connect to port " + std::to_string(port) + ": " + cause());
  int on = 1;
  ::setsockopt(socket.get(), IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return socket;
}

void set_nonblocking(const UniqueFd& socket) {
  ::fcntl(socket.get(), F_SETFL, ::fcntl(socket.get(), F_GETFL) | O_NONBLOCK);
}

bool write_all(const UniqueFd& socket, std::string_view data) {
  while (!data.empty()) {
    ssize_t written = ::send(socket.get(), data.data(), data.size(), MSG_NOSIGNAL);
    if (written < 0 && errno == EINTR) continue;
    if (written <= 0) return false;
    data.remove_prefix(static_cast<std::size_t>(written));
  }
  return true;
}

std::int64_t now_ns() {
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return std::int64_t{now.tv_sec} * 1'000'000'000 + now.tv_nsec;
}

int Head::status() const {
  // "HTTP/1.1 200 OK"
  return first_line.size() < 12 ? 0 : std::atoi(std::string(first_line.substr(9, 3)).c_str());
}

std::string_view Head::target() const {
  std::size_t begin = first_line.find(' ') + 1;
  return first_line.substr(begin, first_line.find(' ', begin) - begin);
}

std::optional<Head> find_head(std::string_view received) {
  constexpr std::string_view kLength = "\ncontent-length:";
  std::size_t end = received.find("\r\n\r\n");
  if (end == std::string_view::npos) return std::nullopt;
  Head head;
  head.size = end + 4;
  head.first_line = received.substr(0, received.find('\r'));
  for (std::size_t line = received.find('\n'); line < end; line = received.find('\n', line + 1)) {
    if (line + kLength.size() > end) break;
    if (::strncasecmp(received.data() + line, kLength.data(), kLength.size()) != 0) continue;
    const char* digits = received.data() + line + kLength.size();
    while (*digits == ' ') ++digits;
    std::from_chars(digits, received.data() + end, head.body_bytes);
  }
  return head;
}

std::string post_head(std::string_view target, std::size_t body_bytes) {
  return "POST " + std::string(target) +
         " HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nContent-Length: " +
         std::to_string(body_bytes) + "\r\n\r\n";
}

std::string read_whole_file(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) give_up("cannot read " + path);
  return {std::istreambuf_iterator<char>(file), {}};
}

void give_up(const std::string& message) {
  std::fprintf(stderr, "bench: %s\n", message.c_str());
  std::exit(1);
}

}  // namespace cppworker::bench
