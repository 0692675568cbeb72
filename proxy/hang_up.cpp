#include "proxy/hang_up.hpp"

#include <sys/epoll.h>

#include "common/unique_fd.hpp"

namespace cppworker {

std::optional<asio::posix::stream_descriptor> hang_up_descriptor(asio::any_io_executor executor, int socket) {
  UniqueFd watch(::epoll_create1(EPOLL_CLOEXEC));
  epoll_event event{};
  event.events = EPOLLRDHUP;  // errors, a reset among them, come unasked
  if (!watch || ::epoll_ctl(watch.get(), EPOLL_CTL_ADD, socket, &event) != 0) return std::nullopt;
  asio::posix::stream_descriptor descriptor(std::move(executor), watch.get());
  watch.release();
  return descriptor;
}

}  // namespace cppworker
