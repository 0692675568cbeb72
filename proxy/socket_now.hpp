// What the kernel takes or gives at once, without a turn of the loop. Nearly always that is everything: a
// request is there once its connection is readable, and an answer fits into the socket's buffer. An
// asynchronous operation costs an allocation and a turn even then.
//
// Whoever gets less than all goes on with an asynchronous operation, which also tells the errors: here they
// look like nothing. Only for sockets that Asio knows, from their thread, while no operation of the same
// direction is under way.
#pragma once

#include <sys/socket.h>
#include <sys/uio.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstddef>
#include <optional>
#include <span>
#include <boost/asio/buffer.hpp>
#include <boost/asio/ip/tcp.hpp>

namespace cppworker {

// How many bytes were taken, from the first buffer on; none on an error.
inline std::size_t send_now(boost::asio::ip::tcp::socket& socket,
                            std::span<const boost::asio::const_buffer> buffers) {
  std::array<iovec, 16> pieces;
  msghdr message{};
  message.msg_iov = pieces.data();
  for (const boost::asio::const_buffer& buffer : buffers.first(std::min(buffers.size(), pieces.size())))
    pieces[message.msg_iovlen++] = {const_cast<void*>(buffer.data()), buffer.size()};
  ssize_t sent = ::sendmsg(socket.native_handle(), &message, MSG_DONTWAIT | MSG_NOSIGNAL);
  return sent > 0 ? static_cast<std::size_t>(sent) : 0;
}

// nullopt: nothing is there yet. 0: nothing will come any more.
inline std::optional<std::size_t> receive_now(boost::asio::ip::tcp::socket& socket,
                                              boost::asio::mutable_buffer into) {
  ssize_t received = ::recv(socket.native_handle(), into.data(), into.size(), MSG_DONTWAIT);
  if (received < 0 && (errno == EAGAIN || errno == EINTR)) return std::nullopt;
  return received > 0 ? static_cast<std::size_t>(received) : 0;
}

// The buffers without their first `bytes`: what is still to be sent.
inline std::span<boost::asio::const_buffer> drop_sent(std::span<boost::asio::const_buffer> buffers,
                                                      std::size_t bytes) {
  while (!buffers.empty() && bytes >= buffers.front().size()) {
    bytes -= buffers.front().size();
    buffers = buffers.subspan(1);
  }
  if (!buffers.empty()) buffers.front() += bytes;
  return buffers;
}

}  // namespace cppworker
