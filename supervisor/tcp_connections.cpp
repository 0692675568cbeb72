#include "supervisor/tcp_connections.hpp"

#include <arpa/inet.h>
#include <linux/inet_diag.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/sock_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/time.h>

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <cstring>

#include "common/unique_fd.hpp"

namespace cppworker {
namespace {

// As the kernel has them in idiag_state: TCP_ESTABLISHED, TCP_LISTEN.
constexpr std::uint8_t kEstablished = 1, kListening = 10;
// Of tcpi_bytes_received in the tcp_info of <linux/tcp.h>, which can't stand beside the older one of
// <netinet/tcp.h>. It is part of the kernel's interface, and there since 4.1.
constexpr std::size_t kReceivedOffset = 128;
// The kernel fills at most so much at a time.
constexpr std::size_t kPiece = 32 << 10;
// It answers within the call; this is for a kernel that doesn't.
constexpr timeval kPatience{1, 0};
// A machine with more has other troubles; memory has its bounds.
constexpr std::size_t kMostSockets = 65536;

bool is_loopback(const inet_diag_sockid& id, int family) {
  if (family == AF_INET) return (ntohl(id.idiag_dst[0]) >> 24) == 127;
  in6_addr address;
  std::memcpy(&address, id.idiag_dst, sizeof address);
  return IN6_IS_ADDR_LOOPBACK(&address) || (IN6_IS_ADDR_V4MAPPED(&address) && address.s6_addr[12] == 127);
}

std::uint64_t received_over(const nlmsghdr& header) {
  const auto* message = static_cast<const inet_diag_msg*>(NLMSG_DATA(&header));
  int left = static_cast<int>(header.nlmsg_len - NLMSG_LENGTH(sizeof(inet_diag_msg)));
  for (const auto* part = reinterpret_cast<const rtattr*>(message + 1); RTA_OK(part, left);
       part = RTA_NEXT(part, left)) {
    std::uint64_t bytes = 0;
    if (part->rta_type != INET_DIAG_INFO || RTA_PAYLOAD(part) < kReceivedOffset + sizeof bytes) continue;
    std::memcpy(&bytes, static_cast<const char*>(RTA_DATA(part)) + kReceivedOffset, sizeof bytes);
    return bytes;
  }
  return 0;
}

TcpSocket socket_of(const nlmsghdr& header) {
  const auto* message = static_cast<const inet_diag_msg*>(NLMSG_DATA(&header));
  TcpSocket socket;
  socket.id = (std::uint64_t{message->id.idiag_cookie[1]} << 32) | message->id.idiag_cookie[0];
  socket.local_port = ntohs(message->id.idiag_sport);
  socket.listening = message->idiag_state == kListening;
  socket.to_loopback = is_loopback(message->id, message->idiag_family);
  if (!socket.listening) socket.received_bytes = received_over(header);
  return socket;
}

bool ask(int kernel, std::uint8_t family) {
  struct {
    nlmsghdr header;
    inet_diag_req_v2 request;
  } message{};
  message.header.nlmsg_len = sizeof message;
  message.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  message.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  message.request.sdiag_family = family;
  message.request.sdiag_protocol = IPPROTO_TCP;
  message.request.idiag_ext = 1 << (INET_DIAG_INFO - 1);
  message.request.idiag_states = (1u << kEstablished) | (1u << kListening);
  return ::send(kernel, &message, sizeof message, 0) == static_cast<ssize_t>(sizeof message);
}

// Adds those of the answer; false when it is no whole one.
bool take_answer(int kernel, std::vector<TcpSocket>& sockets) {
  alignas(nlmsghdr) char piece[kPiece];
  while (true) {
    const ssize_t got = ::recv(kernel, piece, sizeof piece, 0);
    if (got < 0 && errno == EINTR) continue;
    if (got <= 0) return false;
    auto left = static_cast<unsigned>(got);
    for (const auto* header = reinterpret_cast<const nlmsghdr*>(piece); NLMSG_OK(header, left);
         header = NLMSG_NEXT(header, left)) {
      if (header->nlmsg_type == NLMSG_DONE) return true;
      if (header->nlmsg_type == NLMSG_ERROR || header->nlmsg_len < NLMSG_LENGTH(sizeof(inet_diag_msg)))
        return false;
      if (sockets.size() < kMostSockets) sockets.push_back(socket_of(*header));
    }
  }
}

}  // namespace

std::optional<std::vector<TcpSocket>> list_tcp_sockets() {
  const UniqueFd kernel(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_SOCK_DIAG));
  if (!kernel) return std::nullopt;
  ::setsockopt(kernel.get(), SOL_SOCKET, SO_RCVTIMEO, &kPatience, sizeof kPatience);
  std::vector<TcpSocket> sockets;
  for (const std::uint8_t family : {AF_INET, AF_INET6}) {
    // A system without IPv6 says so.
    const bool told = ask(kernel.get(), family) && take_answer(kernel.get(), sockets);
    if (!told && family == AF_INET) return std::nullopt;
  }
  return sockets;
}

}  // namespace cppworker
