#include "supervisor/control_socket.hpp"

#include <sys/socket.h>

#include <cerrno>
#include <cstring>
#include <utility>
#include <boost/asio/read_until.hpp>
#include <boost/asio/write.hpp>

#include "common/logging.hpp"

namespace cppworker {

Result<ControlSocket::Pair> ControlSocket::make_pair(asio::any_io_executor executor,
                                                     std::function<void(ProxyNotice)> on_notice) {
  int fds[2];
  if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds) != 0)
    return fail(std::string("cannot make a socket pair for the proxy: ") + std::strerror(errno));
  Pair pair;
  pair.ours.reset(new ControlSocket(std::move(executor), std::move(on_notice)));
  pair.theirs.reset(fds[1]);
  boost::system::error_code error;
  pair.ours->socket_.assign(asio::local::stream_protocol(), fds[0], error);
  if (error) {
    ::close(fds[0]);
    return fail("cannot watch the proxy's socket: " + error.message());
  }
  pair.ours->read();
  return pair;
}

void ControlSocket::send(const WorkerState& state) {
  next_ = encode(state);
  if (sending_.empty()) write();
}

void ControlSocket::send_look() {
  look_ = true;
  if (sending_.empty()) write();
}

void ControlSocket::write() {
  sending_ = std::move(next_);
  next_.clear();
  if (std::exchange(look_, false)) sending_ += kLookMessage;
  asio::async_write(socket_, asio::buffer(sending_),
                    [self = shared_from_this()](boost::system::error_code error, std::size_t) {
                      self->sending_.clear();
                      if (!error && (self->look_ || !self->next_.empty())) self->write();
                    });
}

void ControlSocket::read() {
  asio::async_read_until(socket_, asio::dynamic_buffer(received_, kLongestControlMessage), '\n',
                         [self = shared_from_this()](boost::system::error_code error, std::size_t size) {
                           if (error) return;  // the proxy is gone; its exit is noticed elsewhere
                           auto notice = decode_notice(std::string_view(self->received_).substr(0, size));
                           self->received_.erase(0, size);
                           if (notice)
                             self->on_notice_(*notice);
                           else
                             spdlog::warn("proxy: {}", notice.error().message);
                           if (self->socket_.is_open()) self->read();
                         });
}

bool ControlSocket::has_unread() const {
  boost::system::error_code ignored;
  return socket_.available(ignored) > 0;
}

void ControlSocket::close() {
  boost::system::error_code ignored;
  socket_.close(ignored);
}

}  // namespace cppworker
