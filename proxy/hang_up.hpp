// The end of a connection whose bytes aren't read: of a client that sent more ahead than is taken in before
// its turn. Asio's waits tell of bytes or of a reset; that the other side has closed, behind bytes that are
// still there, the kernel tells only who asks for just that (EPOLLRDHUP).
#pragma once

#include <optional>
#include <boost/asio/posix/stream_descriptor.hpp>

#include "common/async.hpp"

namespace cppworker {

// A descriptor that becomes readable when the other side of `socket` has closed or reset the connection, and
// not before: an epoll of its own, made for the few connections that need it. It goes when `socket` does, or
// earlier. nullopt: there are no descriptors left.
std::optional<asio::posix::stream_descriptor> hang_up_descriptor(asio::any_io_executor executor, int socket);

}  // namespace cppworker
